import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { createUserAdmin, type UserAdmin } from '../src/auth/user-admin.ts'
import { createCreditChanges, createNoCreditChanges, type CreditChanges } from '../src/credits/changes.ts'

declare module 'fastify' {
  interface FastifyInstance {
    userAdmin: UserAdmin
    creditChanges: CreditChanges
  }
}

/** What administrators do to users and their credits: steps in several nouns, in one order. */
export default fp(
  async function administration(app: FastifyInstance) {
    const { users, passwords, loginSessions, apiKeys, ledger, idempotency, history, files, permissions } = app
    const { openingMicro } = app.config.credits
    const creditChanges = app.accounting
      ? createNoCreditChanges()
      : createCreditChanges({ ledger, idempotency, openingMicro })
    app.decorate('creditChanges', creditChanges)
    app.decorate(
      'userAdmin',
      createUserAdmin({
        users,
        passwords,
        accounts: creditChanges,
        isManagedExternally: app.config.auth.mode === 'external',
        endSessions: (userId) => loginSessions.endAll(userId),
        erasers: [
          (userId) => history.removeAll(userId, { isForced: true }),
          (userId) => files.removeAllOf(userId),
          (userId) => permissions.removeAllOf(userId),
          (userId) => apiKeys.removeAllOf(userId),
          (userId) => loginSessions.removeAll(userId)
        ]
      })
    )
  },
  { name: 'administration', dependencies: ['users', 'auth', 'history', 'files', 'permissions', 'credits', 'api-keys'] }
)
