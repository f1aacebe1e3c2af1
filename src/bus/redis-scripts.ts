/** KEYS[1] counter; ARGV: by, window in ms. Answers value and ms until the window ends. A counter never stays without an end. */
export const COUNT = `
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
export const ACQUIRE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', last[2]))
return 1`
