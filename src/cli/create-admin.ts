import { createBcryptThread } from '../auth/bcrypt.ts'
import { createPasswords } from '../auth/passwords.ts'
import { createUsers } from '../auth/users.ts'
import { createSystemClock } from '../clock.ts'
import { loadConfigFromProcess } from '../config.ts'
import { createIds } from '../ids.ts'
import { openStore } from '../store/open.ts'
import type { Command } from './command.ts'

/** For the installation whose last administrator has forgotten the password. */
export const createAdmin: Command = {
  arguments: ['username', 'e-mail'],
  summary: 'makes an administrator and prints the password; the gateway must be stopped',
  async run({ arguments: [username = '', email = ''] }) {
    const config = loadConfigFromProcess()
    if (config.auth.mode === 'external')
      throw new Error('Users are managed by the service of EXTERNAL_AUTH_URL: make the administrator there.')
    process.umask(0o077)
    const ids = createIds()
    const store = await openStore(config, { mode: 'serve' })
    const bcrypt = createBcryptThread()
    try {
      const password = ids.secret()
      const passwordHash = await createPasswords(bcrypt).hash(password)
      const users = createUsers({ store, clock: createSystemClock(), ids })
      await users.create({ username, email, role: 'admin', passwordHash })
      process.stdout.write(`Administrator ${username}, password ${password} (shown only this once)\n`)
      return 0
    } finally {
      await bcrypt.close()
      await store.close()
    }
  }
}
