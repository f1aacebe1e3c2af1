import { Redis } from 'ioredis'
import type { RedisAddress } from './redis-address.ts'

/** Longest wait for an answer; then the connection counts as dead and is made anew. */
const COMMAND_MS = 1_000
const CONNECT_MS = 3_000
const DISCONNECT_MS = 500
const FIRST_RETRY_MS = 50
const LAST_RETRY_MS = 1_000

export interface RedisConnection {
  redis: Redis
  /** The latest fault of the connection, in words without secrets. */
  reason(): string
}

/**
 * Connects once, and from then on again and again by itself. Every command answers or fails within a second, and
 * nothing is queued while there is no connection. Throws a sentence for the operator.
 */
export async function connectRedis(address: RedisAddress): Promise<RedisConnection> {
  let hasStarted = false
  let reason = 'the connection was closed'
  const redis = new Redis({
    ...address.options,
    lazyConnect: true,
    connectTimeout: CONNECT_MS,
    disconnectTimeout: DISCONNECT_MS,
    commandTimeout: COMMAND_MS,
    socketTimeout: COMMAND_MS,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
    // What waits for an answer when the connection breaks is told at once, not after a few more connections.
    maxRetriesPerRequest: 0,
    disableClientInfo: true,
    retryStrategy: (times) => (hasStarted ? Math.min(FIRST_RETRY_MS * 2 ** times, LAST_RETRY_MS) : null)
  })
  const failed = Promise.withResolvers<never>()
  redis.on('error', (error: unknown) => {
    reason = address.reasonOf(error)
    failed.reject(error)
  })
  failed.promise.catch(() => {})
  const why = await Promise.race([redis.connect(), failed.promise]).then(() => undefined, address.reasonOf)
  if (why !== undefined) {
    redis.disconnect()
    // Without the cause: the driver's errors hold the command that failed, and with it the password.
    throw new Error(`REDIS_URL cannot be used: ${whyNot(address, why)}.`)
  }
  hasStarted = true
  return { redis, reason: () => reason }
}

function whyNot({ name }: RedisAddress, reason: string): string {
  if (/WRONGPASS|NOAUTH|invalid password|AUTH/.test(reason)) return `${name} does not accept its user name or password`
  if (/RESP|Protocol error|unknown command/i.test(reason)) return `what answers at ${name} is not Redis`
  if (/timed out|Socket timeout|ETIMEDOUT/.test(reason)) return `${name} does not answer in time`
  if (/closed/.test(reason)) return `${name} closes the connection`
  return `${name} cannot be reached (${reason})`
}
