import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { createBcryptThread } from '../src/auth/bcrypt.ts'
import { createCredentials, type Credentials } from '../src/auth/credentials.ts'
import { createPasswords, type Passwords } from '../src/auth/passwords.ts'
import { createUsers, type Users } from '../src/auth/users.ts'

declare module 'fastify' {
  interface FastifyInstance {
    users: Users
    passwords: Passwords
    credentials: Credentials
  }
}

/** The users and their passwords. */
export default fp(
  async function users(app: FastifyInstance) {
    const { store, clock, ids, config } = app
    const adminOrigin = config.auth.mode === 'external' ? 'token' : 'local'
    const bcrypt = app.parts.bcrypt ?? createBcryptThread()
    app.decorate('users', createUsers({ store, clock, ids, adminOrigin }))
    app.decorate('passwords', createPasswords(bcrypt))
    app.decorate('credentials', createCredentials(app.users, app.passwords))
    app.addHook('onReady', async function clearMarks() {
      await app.users.clearMarks()
    })
    app.addHook('onClose', async function closeBcrypt() {
      await bcrypt.close()
    })
  },
  { name: 'users', dependencies: ['configuration', 'store'] }
)
