import type { Clock } from '../clock.ts'
import { createAvailability } from './availability.ts'
import { createCounters } from './counters.ts'
import { createExpiringMap } from './expiring-map.ts'
import { createLeases } from './leases.ts'
import { createLocalBus, MAX_ENTRIES } from './local.ts'
import type { Bus, Counted } from './port.ts'
import { readRedisAddress } from './redis-address.ts'
import { connectRedis } from './redis-connection.ts'
import { createScripts } from './redis-scripts.ts'

/** How often a silent connection is asked whether it still works. */
const HEARTBEAT_MS = 1_000
const PROBE_MS = 10_000
/** How long the release of an unknown lease is worth repeating. */
const OWED_MS = 60_000
const BATCH = 200
const RECOVERY_ROUNDS = 3

export interface RedisBusOptions {
  /** `redis[s]://[user[:password]@]host[:port][/database]` */
  url: string
  /** Of all keys and channels: that of the installation. */
  prefix: string
  /** Names this process among those of the installation. */
  instance: string
  clock: Clock
  maxEntries?: number
  /** Hears of listeners that throw, and of messages that are none. */
  onError?: (error: unknown) => void
}

/**
 * The bus of several processes, over one Redis. What this process holds and what it was told of counters is kept here
 * too: when Redis is away it goes on from there, by itself, and gives Redis its leases back before asking it again.
 * Throws a sentence for the operator when Redis cannot be used from the start.
 * @see docs/adr/0008-redis.md
 */
export async function openRedisBus(options: RedisBusOptions): Promise<Bus> {
  const { url, prefix, instance, clock, maxEntries = MAX_ENTRIES, onError = () => {} } = options
  const address = readRedisAddress(url)
  const [{ redis, reason }, { redis: subscriber }] = await connectBoth(() => connectRedis(address))
  const topic = `${prefix}:messages`
  const topicOf = (name: string) => `${topic}:${name}`
  const local = createLocalBus(clock, { maxEntries, instance, onError })
  const counters = createCounters(clock, maxEntries)
  const leases = createLeases(clock, maxEntries)
  /** Releases that Redis has not heard of. */
  const owed = createExpiringMap<{ key: string; owner: string; expiresAt: number }>(clock, maxEntries)
  const availability = createAvailability({ recover, reasonOf: address.reasonOf })
  let cancelHeartbeat = () => {}
  let isClosed = false

  const scripts = createScripts(redis)
  const take = (key: string, owner: string, ttlMs: number, places: number) =>
    scripts.acquire(`${prefix}:lease:${key}`, owner, ttlMs, places).then(Number)
  const giveBack = (key: string, owner: string) => redis.zrem(`${prefix}:lease:${key}`, owner)
  const add = (key: string, windowMs: number, by: number) =>
    scripts.count(`${prefix}:count:${key}`, by, windowMs).then(readCounted)
  /** A write, because a replica, or a Redis that is full, answers PING as if nothing were wrong. */
  const probe = () => add(`probe:${instance}`, PROBE_MS, 1)

  /** What was released and taken in the outage; in rounds, because runs begin and end meanwhile. */
  async function recover(): Promise<void> {
    await probe()
    const known = new Set<string>()
    for (let round = 0; round < RECOVERY_ROUNDS; round++) {
      await inBatches(owed.all(), async ([id, { key, owner }]) => {
        if (leases.expiryOf(key, owner) === undefined) await giveBack(key, owner)
        owed.delete(id)
      })
      const untold = leases.all().filter(({ key, owner }) => !known.has(nameOf(key, owner)))
      await inBatches(untold, async ({ key, owner, places, expiresAt }) => {
        known.add(nameOf(key, owner))
        await take(key, owner, Math.max(1, Math.round(expiresAt - clock.now())), places)
      })
    }
  }

  function receive(text: string): void {
    try {
      const [from, channel, message]: unknown[] = JSON.parse(text)
      if (from !== instance && typeof channel === 'string' && typeof message === 'string')
        local.publish(channel, message)
    } catch (error) {
      onError(error)
    }
  }

  function listen(): void {
    // A failure closes this connection, or the next heartbeat finds it; its successor subscribes again.
    subscriber.subscribe(topic, topicOf(instance)).catch(onError)
  }

  async function beat(): Promise<void> {
    if (availability.state.isUp) await availability.attempt(probe)
    else await availability.tryRecover()
    // An answer is not needed: without one the connection is closed and made anew.
    subscriber.ping().catch(() => {})
  }

  function scheduleBeat(): void {
    cancelHeartbeat = clock.after(HEARTBEAT_MS, () => {
      void beat().finally(() => {
        if (!isClosed) scheduleBeat()
      })
    })
  }

  redis.on('close', () => availability.failed(reason()))
  redis.on('ready', () => void availability.tryRecover())
  subscriber.on('message', (_topic: string, text: string) => receive(text))
  subscriber.on('ready', listen)
  await start()

  return {
    instance,
    publish(channel, message) {
      local.publish(channel, message)
      void availability.attempt(() => redis.publish(topic, JSON.stringify([instance, channel, message])))
    },
    send(to, channel, message) {
      local.send(to, channel, message)
      if (to !== instance)
        void availability.attempt(() => redis.publish(topicOf(to), JSON.stringify([instance, channel, message])))
    },
    subscribe: (channel, listener) => local.subscribe(channel, listener),
    async count(key, windowMs, by = 1) {
      const counted = await availability.attempt(() => add(key, windowMs, by))
      if (counted === undefined) return counters.count(key, windowMs, by)
      counters.adopt(key, counted)
      return counted
    },
    async acquire(key, owner, ttlMs, places = 1) {
      const isRenewal = leases.expiryOf(key, owner) !== undefined
      if (!leases.acquire(key, owner, ttlMs, places)) return false
      owed.delete(nameOf(key, owner))
      const taken = await availability.attempt(() => take(key, owner, ttlMs, places))
      // A run whose lease Redis lost to somebody else still runs: it keeps its place here, and asks again.
      if (taken === 0 && !isRenewal) leases.release(key, owner)
      return taken !== 0
    },
    async release(key, owner) {
      const expiresAt = leases.expiryOf(key, owner) ?? clock.now() + OWED_MS
      leases.release(key, owner)
      const released = await availability.attempt(() => giveBack(key, owner))
      if (released === undefined && !isClosed) owed.set(nameOf(key, owner), { key, owner, expiresAt })
    },
    watch: availability.watch,
    async ping() {
      const { isUp, reason: why } = availability.state
      if (!isUp || isClosed) throw new Error(why ?? 'the bus is closed')
      await Promise.all([probe(), subscriber.ping()])
    },
    async close() {
      isClosed = true
      cancelHeartbeat()
      availability.close()
      redis.disconnect()
      subscriber.disconnect()
      await local.close()
    }
  }

  async function start(): Promise<void> {
    const why = await Promise.all([probe(), subscriber.subscribe(topic, topicOf(instance))]).then(
      () => undefined,
      address.reasonOf
    )
    if (why === undefined) return scheduleBeat()
    redis.disconnect()
    subscriber.disconnect()
    throw new Error(`REDIS_URL cannot be used: ${address.name} refuses a command (${why}).`)
  }
}

/** Both or none: a connection whose twin failed would keep the process alive. */
async function connectBoth<T extends { redis: { disconnect(): void } }>(connect: () => Promise<T>): Promise<[T, T]> {
  const [one, other] = await Promise.allSettled([connect(), connect()])
  if (one.status === 'fulfilled' && other.status === 'fulfilled') return [one.value, other.value]
  for (const made of [one, other]) if (made.status === 'fulfilled') made.value.redis.disconnect()
  throw one.status === 'rejected' ? one.reason : other.status === 'rejected' ? other.reason : new Error('not connected')
}

function readCounted(answer: unknown): Counted {
  const [value, resetMs] = Array.isArray(answer) ? answer.map(Number) : []
  if (value === undefined || resetMs === undefined) throw new Error('the answer is not that of a counter')
  return { value, resetMs }
}

function nameOf(key: string, owner: string): string {
  return JSON.stringify([key, owner])
}

async function inBatches<T>(rows: T[], work: (row: T) => Promise<void>): Promise<void> {
  for (let from = 0; from < rows.length; from += BATCH) await Promise.all(rows.slice(from, from + BATCH).map(work))
}
