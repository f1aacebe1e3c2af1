import type { Bus } from '../bus/port.ts'
import { AppError } from '../errors.ts'
import { sha256Hex } from '../ids.ts'

export interface Throttle {
  /** Counts a prediction of the user. @throws rate_limited */
  prediction(userId: string): Promise<void>
  /**
   * Runs a login check and counts its failure; over the limit every answer is the refusal, right or wrong, so that
   * guesses sent at once tell no more than guesses sent one by one.
   * @throws login_rate_limited, and what the check throws
   */
  login<T>(address: string, username: string, check: () => Promise<T>): Promise<T>
}

const MINUTE_MS = 60_000
const LOGIN_WINDOW_MS = 15 * MINUTE_MS
/** How many users may fail to log in from one address before it is refused altogether. */
const ADDRESS_FACTOR = 10

/** Rate limits in counters of the bus; a limit of 0 is off. Keys are short, whatever a client sends. */
export function createThrottle(bus: Bus, limits: { predictionsPerMinute: number; loginFailures: number }): Throttle {
  const { predictionsPerMinute, loginFailures } = limits

  /** Adds to the counters and says how long to wait when one is over its limit by that. */
  async function waitMs(counters: [string, number][], by: 0 | 1): Promise<number> {
    const counts = await Promise.all(counters.map(([key]) => bus.count(key, LOGIN_WINDOW_MS, by)))
    const waits = counts.map(({ value, resetMs }, index) => {
      const limit = counters[index]?.[1] ?? 0
      return value - by >= limit ? resetMs : 0
    })
    return Math.max(...waits)
  }

  async function refuseOver(counters: [string, number][], by: 0 | 1): Promise<void> {
    const ms = await waitMs(counters, by)
    if (ms > 0) throw new AppError('login_rate_limited', { retryAfterSeconds: ms / 1000 })
  }

  return {
    async prediction(userId) {
      if (predictionsPerMinute === 0) return
      const { value, resetMs } = await bus.count(`predictions:${userId}`, MINUTE_MS)
      if (value > predictionsPerMinute) throw new AppError('rate_limited', { retryAfterSeconds: resetMs / 1000 })
    },
    async login(address, username, check) {
      if (loginFailures === 0) return check()
      const who = sha256Hex(username.trim().toLowerCase()).slice(0, 32)
      const counters: [string, number][] = [
        [`login:${address}:${who}`, loginFailures],
        [`login:${address}`, loginFailures * ADDRESS_FACTOR]
      ]
      await refuseOver(counters, 0)
      try {
        const result = await check()
        await refuseOver(counters, 0)
        return result
      } catch (error) {
        if (error instanceof AppError && error.code === 'invalid_credentials') await refuseOver(counters, 1)
        throw error
      }
    }
  }
}
