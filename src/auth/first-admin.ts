import type { Config } from '../config.ts'
import { AppError } from '../errors.ts'
import type { Ids } from '../ids.ts'
import type { Passwords } from './passwords.ts'
import type { Users } from './users.ts'

export interface FirstAdmin {
  id: string
  username: string
  /** Present when none was configured: to be shown once, it is stored nowhere. */
  generatedPassword?: string
}

/**
 * Creates the administrator of the configuration, only while there is no active one; undefined when there is.
 * @throws Error with a sentence for the operator when ADMIN_USERNAME, ADMIN_EMAIL or ADMIN_PASSWORD cannot be used
 */
export async function ensureFirstAdmin(parts: {
  users: Users
  passwords: Passwords
  config: Pick<Config, 'admin' | 'auth'>
  ids: Ids
}): Promise<FirstAdmin | undefined> {
  const { users, passwords, config, ids } = parts
  // Whose passwords another service knows, whose administrators it knows too.
  if (config.auth.mode === 'external' || (await users.hasActiveAdmin())) return undefined
  const { username, email, password } = config.admin
  const generated = ids.secret()
  try {
    const passwordHash = await passwords.hash(password ?? generated)
    const user = await users.create({ username, email, role: 'admin', passwordHash })
    return { id: user.id, username, ...(password === undefined ? { generatedPassword: generated } : {}) }
  } catch (error) {
    // Another process of the same installation was faster.
    if (error instanceof AppError && error.code === 'already_exists' && (await users.hasActiveAdmin())) return undefined
    if (!(error instanceof AppError) || error.kind === 'unavailable') throw error
    throw new Error(`The first administrator cannot be made from the ADMIN_ variables: ${error.message}`, {
      cause: error
    })
  }
}
