import type { Bus } from '../bus/port.ts'
import { AppError } from '../errors.ts'
import { sha256Hex } from '../ids.ts'
import { networkOf } from './client-network.ts'

export interface Throttle {
  /** Counts a prediction of the user; undefined where there is no limit. @throws rate_limited */
  prediction(userId: string): Promise<void> | undefined
  /** Counts a request of the key, if it has a limit of its own. @throws rate_limited */
  key(key: LimitedKey): Promise<void> | undefined
  /**
   * Runs a login check and counts its failure; over the limit every answer is the refusal, right or wrong, so that
   * guesses sent at once tell no more than guesses sent one by one. All addresses of an IPv6 network (/64) are one.
   * @throws login_rate_limited, and what the check throws
   */
  login<T>(address: string, username: string, check: () => Promise<T>): Promise<T>
  /** Counts refused refresh tokens per address; one that is good is never lost. @throws login_rate_limited, and what the exchange throws */
  refresh<T>(address: string, exchange: () => Promise<T>): Promise<T>
}

export interface LimitedKey {
  keyId: string
  requestsPerMinute: number | null
}

const MINUTE_MS = 60_000
const LOGIN_WINDOW_MS = 15 * MINUTE_MS
/** How many users may fail to log in from one address before it is refused altogether. */
const ADDRESS_FACTOR = 10

export interface ThrottleLimits {
  predictionsPerMinute: number
  /** Per address and username. */
  loginFailures: number
  /** Most per address, where that is less than the tenfold. */
  addressFailures?: number
}

/** Failures that cost as much as a guess. */
const FAILURES: ReadonlySet<string> = new Set(['invalid_credentials', 'email_not_verified', 'invalid_refresh_token'])

/** Rate limits in counters of the bus; a limit of 0 is off. Keys are short, whatever a client sends. */
export function createThrottle(bus: Bus, limits: ThrottleLimits): Throttle {
  const { predictionsPerMinute, loginFailures, addressFailures = Number.POSITIVE_INFINITY } = limits
  const perAddress = Math.min(loginFailures * ADDRESS_FACTOR, addressFailures)

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

  async function limited<T>(counters: [string, number][], check: () => Promise<T>): Promise<T> {
    await refuseOver(counters, 0)
    try {
      return await check()
    } catch (error) {
      if (error instanceof AppError && FAILURES.has(error.code)) await refuseOver(counters, 1)
      throw error
    }
  }

  async function countPrediction(userId: string): Promise<void> {
    const { value, resetMs } = await bus.count(`predictions:${userId}`, MINUTE_MS)
    if (value > predictionsPerMinute) throw new AppError('rate_limited', { retryAfterSeconds: resetMs / 1000 })
  }

  async function countRequest(keyId: string, requestsPerMinute: number): Promise<void> {
    const { value, resetMs } = await bus.count(`key:${keyId}`, MINUTE_MS)
    if (value <= requestsPerMinute) return
    const detail = `This key may make ${requestsPerMinute} ${requestsPerMinute === 1 ? 'request' : 'requests'} a minute.`
    throw new AppError('rate_limited', { detail, retryAfterSeconds: resetMs / 1000 })
  }

  return {
    prediction: (userId) => (predictionsPerMinute === 0 ? undefined : countPrediction(userId)),
    key: ({ keyId, requestsPerMinute }) =>
      requestsPerMinute === null ? undefined : countRequest(keyId, requestsPerMinute),
    async login(address, username, check) {
      if (loginFailures === 0) return check()
      const who = sha256Hex(username.trim().toLowerCase()).slice(0, 32)
      const network = networkOf(address)
      const own: [string, number] = [`login:${network}:${who}`, loginFailures]
      const counters: [string, number][] = [own, [`login:${network}`, perAddress]]
      return limited(counters, async () => {
        const result = await check()
        await refuseOver(counters, 0)
        return result
      })
    },
    async refresh(address, exchange) {
      return loginFailures === 0 ? exchange() : limited([[`refresh:${networkOf(address)}`, perAddress]], exchange)
    }
  }
}
