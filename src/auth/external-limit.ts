import type { Bus } from '../bus/port.ts'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { HttpReply } from './http-call.ts'

/** What the auth service said about its rate limit, which counts this gateway, with all its users, as one client. */
export interface ServiceLimit {
  /** @throws login_rate_limited until the moment that the service named */
  check(): void
  /** Epoch ms until which nothing is to be asked; in the past when there is no limit. */
  readonly closedUntilAt: number
  /** Keeps what a 429 says, in every process, and answers it as an error. */
  reached(reply: HttpReply): AppError
}

const CHANNEL = 'auth-limit'
const DEFAULT_SECONDS = 60
/** Four times the window of the service: a number above it is a mistake, and nobody could log in until then. */
const MAX_SECONDS = 3_600
const WHOLE = /^\d{1,9}$/

/** The memory of that limit. */
export function createServiceLimit(clock: Clock, bus: Bus): ServiceLimit {
  let closedUntilAt = 0
  const close = (untilAt: number) => {
    closedUntilAt = Math.max(closedUntilAt, Math.min(untilAt, clock.now() + MAX_SECONDS * 1000))
  }
  bus.subscribe(CHANNEL, (message) => {
    if (WHOLE.test(message)) close(clock.now() + Number(message))
  })

  function refusal(): AppError {
    return new AppError('login_rate_limited', {
      detail: 'The authentication service takes no more logins for the moment.',
      retryAfterSeconds: (closedUntilAt - clock.now()) / 1000
    })
  }

  return {
    get closedUntilAt() {
      return closedUntilAt
    },
    check() {
      if (clock.now() < closedUntilAt) throw refusal()
    },
    reached(reply) {
      const waitMs = waitSeconds(reply, clock.now()) * 1000
      close(clock.now() + waitMs)
      bus.publish(CHANNEL, String(waitMs))
      return refusal()
    }
  }
}

/** Whole seconds; Retry-After may be a date (RFC 9110), RateLimit-Reset counts seconds. */
function waitSeconds(reply: HttpReply, now: number): number {
  const retryAfter = reply.header('retry-after')?.trim() ?? ''
  const dateMs = Date.parse(retryAfter) - now
  const reset = reply.header('ratelimit-reset')?.trim() ?? ''
  const seconds = WHOLE.test(retryAfter)
    ? Number(retryAfter)
    : dateMs > 0
      ? Math.ceil(dateMs / 1000)
      : WHOLE.test(reset)
        ? Number(reset)
        : DEFAULT_SECONDS
  return Math.max(1, Math.min(MAX_SECONDS, seconds))
}
