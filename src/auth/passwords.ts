import { AppError, invalid } from '../errors.ts'
import type { Bcrypt } from './bcrypt.ts'

const MIN_CHARACTERS = 8
/** bcrypt ignores what lies behind byte 72: two long passwords would be one. */
const MAX_BYTES = 72
const MAX_WAITING = 256
const UNKNOWN_USER = 'a password that nobody has'

export interface Passwords {
  /** @throws validation_error when the password breaks the rules, overloaded when too many wait */
  hash(password: string): Promise<string>
  /** Without a hash (unknown user, no local password) it is false after the same work. @throws overloaded */
  verify(password: string, hash: string | undefined): Promise<boolean>
}

/** Password rules and checks; at most `maxWaiting` computations are under way, so that a flood cannot pile up. */
export function createPasswords(bcrypt: Bcrypt, maxWaiting = MAX_WAITING): Passwords {
  let waiting = 0
  let decoy: Promise<string> | undefined

  async function limited<T>(work: () => Promise<T>): Promise<T> {
    if (waiting >= maxWaiting) throw new AppError('overloaded')
    waiting++
    try {
      return await work()
    } finally {
      waiting--
    }
  }

  return {
    async hash(password) {
      checkPassword(password)
      return limited(() => bcrypt.hash(password))
    },
    verify: (password, hash) =>
      limited(async () => {
        // Made by the first login of all, whoever it is for, and kept: from then on one comparison for everybody.
        decoy ??= bcrypt.hash(UNKNOWN_USER)
        const standIn = await decoy.catch((error: unknown) => {
          decoy = undefined
          throw error
        })
        const isEqual = await bcrypt.compare(password, hash ?? standIn)
        return isEqual && hash !== undefined && Buffer.byteLength(password) <= MAX_BYTES
      })
  }
}

/** @throws validation_error unless the password has 8 characters or more and 72 bytes or fewer */
export function checkPassword(password: string, loc: string[] = ['body', 'password']): void {
  if (Array.from(password).length < MIN_CHARACTERS)
    throw invalid(loc, `must have at least ${MIN_CHARACTERS} characters`)
  if (Buffer.byteLength(password) > MAX_BYTES) throw invalid(loc, `must have at most ${MAX_BYTES} bytes in UTF-8`)
}
