import { AppError } from '../errors.ts'
import type { UserRow } from '../store/collections.ts'
import type { Passwords } from './passwords.ts'
import type { Users } from './users.ts'

export interface Credentials {
  /**
   * The user with this username or e-mail and password. An unknown user costs the same work as a wrong password.
   * @throws invalid_credentials, user_disabled (only after the right password), overloaded
   */
  check(login: string, password: string): Promise<UserRow>
}

/** The check of a login form. */
export function createCredentials(users: Users, passwords: Passwords): Credentials {
  return {
    async check(login, password) {
      const user = await users.findByLogin(login)
      const isRight = await passwords.verify(password, user?.passwordHash)
      if (!user || !isRight) throw new AppError('invalid_credentials')
      if (!user.isActive) throw new AppError('user_disabled')
      return user
    }
  }
}
