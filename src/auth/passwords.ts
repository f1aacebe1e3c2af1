import { AppError, invalid } from '../errors.ts'
import type { Bcrypt } from './bcrypt.ts'

const MIN_CHARACTERS = 8
/** bcrypt ignores what lies behind byte 72: two long passwords would be one. */
const MAX_BYTES = 72
const MAX_WAITING = 256
const UNKNOWN_USER = 'a password that nobody has'
const COST = /^(\$2[aby]\$)(\d\d)/
/** Of hashes that cost more, the work is not made up for: logins would be slow for the sake of a few. */
const MAX_LEVEL_COST = 12

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
  let highestCost = 0

  async function limited<T>(work: () => Promise<T>): Promise<T> {
    if (waiting >= maxWaiting) throw new AppError('overloaded')
    waiting++
    try {
      return await work()
    } finally {
      waiting--
    }
  }

  /**
   * Hashes that came from elsewhere may cost more than ours, and would tell by their time whose they are: from the
   * first of them on, cheaper ones are followed by the work that is missing. Each step of cost doubles it.
   */
  async function level(password: string, compared: string, standIn: string): Promise<void> {
    const cost = costOf(compared)
    highestCost = Math.max(highestCost, costOf(standIn), Math.min(cost, MAX_LEVEL_COST))
    if (cost === 0) return
    for (let missing = cost; missing < highestCost; missing++)
      await bcrypt.compare(password, withCost(standIn, missing))
  }

  return {
    async hash(password) {
      checkPassword(password)
      return limited(() => bcrypt.hash(password))
    },
    verify: (password, hash) =>
      limited(async () => {
        // Made by the first login of all, whoever it is for, and kept: from then on the same work for everybody.
        decoy ??= bcrypt.hash(UNKNOWN_USER)
        const standIn = await decoy.catch((error: unknown) => {
          decoy = undefined
          throw error
        })
        const isEqual = await bcrypt.compare(password, hash ?? standIn)
        await level(password, hash ?? standIn, standIn)
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

/** 0 for what is no bcrypt hash. */
function costOf(hash: string): number {
  return Number(COST.exec(hash)?.[2] ?? 0)
}

function withCost(hash: string, cost: number): string {
  return hash.replace(COST, (_, form: string) => form + String(cost).padStart(2, '0'))
}
