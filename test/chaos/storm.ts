import { setTimeout as wait } from 'node:timers/promises'
import type { Gateway } from './gateways.ts'
import type { Journal } from './journal.ts'
import type { Random } from './random.ts'

/** A server whose process can be killed and started again with the same data, or without. */
export interface Killable {
  stop(signal?: NodeJS.Signals): Promise<void>
  restart(): Promise<void>
}

export interface StormOptions {
  gateways: Gateway[]
  store: Killable
  redis: Killable
  random: Random
  journal: Journal
}

const KILL_EVERY_MS = 1_000
const AWAY_MS = { from: 300, to: 1_500 } as const

/** For so long, a kill of one of the gateways every second; meanwhile the store and Redis are killed so often. */
export async function storm(
  { gateways, store, redis, random, journal }: StormOptions,
  { ms, outages }: { ms: number; outages: number }
): Promise<void> {
  const until = Date.now() + ms

  async function killGateways(): Promise<void> {
    while (Date.now() < until) {
      await wait(KILL_EVERY_MS)
      // Now and then one that is just starting.
      const victims = random.chance(0.1) ? gateways : gateways.filter(({ isListening }) => isListening)
      victims[random.below(victims.length)]?.kill()
    }
  }

  async function killServer(name: string, server: Killable): Promise<{ from: number; to: number }[]> {
    const times: { from: number; to: number }[] = []
    for (let done = 0; done < outages; done++) {
      await wait((ms / outages) * (0.2 + 0.6 * random.next()))
      const from = Date.now()
      await server.stop('SIGKILL')
      journal.count(`kills of ${name}`)
      await wait(AWAY_MS.from + random.below(AWAY_MS.to - AWAY_MS.from))
      await server.restart()
      times.push({ from, to: Date.now() })
    }
    return times
  }

  const [, outagesOfStore] = await Promise.all([
    killGateways(),
    killServer('the store', store),
    killServer('Redis', redis)
  ])
  journal.outages.push(...outagesOfStore)
}
