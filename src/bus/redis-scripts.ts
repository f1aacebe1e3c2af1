import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'

/** KEYS[1] counter; ARGV: by, window in ms. Answers value and ms until the window ends. A counter never stays without an end. */
const COUNT = `
local by = tonumber(ARGV[1])
local value = by == 0 and tonumber(redis.call('GET', KEYS[1]) or 0) or redis.call('INCRBY', KEYS[1], ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  left = tonumber(ARGV[2])
  if by ~= 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
end
return { value, left }`

/**
 * KEYS[1] set of owners by the end of their lease; ARGV: owner, ms, places. Answers 1 or 0. On the clock of the server,
 * so that the clocks of the processes do not matter.
 */
const ACQUIRE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', last[2]))
return 1`

export interface RedisScripts {
  /** Value, and ms until the window ends. */
  count(key: string, by: number, windowMs: number): Promise<unknown>
  /** 1 if the owner has a place, else 0. */
  acquire(key: string, owner: string, ttlMs: number, places: number): Promise<unknown>
}

/** The two things that must be one step at the server. */
export function createScripts(redis: Redis): RedisScripts {
  const prepared = (script: string) => {
    const sha = createHash('sha1').update(script).digest('hex')
    return async (key: string, ...args: (string | number)[]): Promise<unknown> => {
      try {
        return await redis.evalsha(sha, 1, key, ...args)
      } catch (error) {
        // A server that has started anew does not know it; this tells it.
        if (error instanceof Error && error.message.startsWith('NOSCRIPT')) return redis.eval(script, 1, key, ...args)
        throw error
      }
    }
  }
  return { count: prepared(COUNT), acquire: prepared(ACQUIRE) }
}
