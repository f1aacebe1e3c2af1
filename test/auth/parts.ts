import { compare, hash } from 'bcryptjs'
import type { Test } from 'tap'
import type { Bcrypt } from '../../src/auth/bcrypt.ts'
import { createSessions } from '../../src/auth/sessions.ts'
import { createTokens } from '../../src/auth/tokens.ts'
import { createUsers } from '../../src/auth/users.ts'
import { createIds } from '../../src/ids.ts'
import { collections } from '../../src/store/collections.ts'
import type { Store } from '../../src/store/port.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { createFakeClock } from '../clock.ts'

export const SECRET = 'only-for-tests-only-for-tests-only-for-tests'
export const HOUR_MS = 3_600_000

/** A real store in a folder of its own; closed when the test ends. */
export function openTestStore(t: Test): Store {
  const store = createSqliteStore({ path: `${t.testdir()}/test.db`, specs: collections })
  t.teardown(() => store.close())
  return store
}

/** The authentication parts on a real store, with a clock that stands still. */
export function authParts(t: Test) {
  const store = openTestStore(t)
  const clock = createFakeClock(Date.UTC(2026, 0, 1))
  const ids = createIds()
  const users = createUsers({ store, clock, ids })
  const tokens = createTokens({ secret: SECRET, algorithm: 'HS256', accessTtlMs: HOUR_MS, clock, ids })
  const sessions = createSessions({ store, tokens, users, refreshTtlMs: 24 * HOUR_MS, clock, ids, secret: SECRET })
  const newUser = (username: string, role: 'admin' | 'user' = 'user') =>
    users.create({ username, email: `${username}@example.com`, role, passwordHash: 'none' })
  return { store, clock, ids, users, tokens, sessions, newUser }
}

/** The real algorithm at its lowest cost, with the number of comparisons it has made. */
export function countingBcrypt(): Bcrypt & { comparisons: number } {
  const port = {
    comparisons: 0,
    hash: (password: string) => hash(password, 4),
    compare(password: string, stored: string) {
      port.comparisons++
      return compare(password, stored)
    },
    close: async () => {}
  }
  return port
}

/** The code of the AppError that `work` ends with; undefined when it succeeds. */
export async function codeOf(work: Promise<unknown> | (() => unknown)): Promise<unknown> {
  try {
    await (typeof work === 'function' ? work() : work)
    return undefined
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error
  }
}
