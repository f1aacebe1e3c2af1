import { setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Bus } from '../../src/bus/port.ts'

const LONG_MS = 60_000
const SHORT_MS = 60

export interface OpenedBus {
  bus: Bus
  /** What listeners threw. */
  errors: unknown[]
}

/** Asks again until it holds; a test that waits in vain runs into its time limit. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await wait(5)
}

/** What every adapter of the bus port keeps. `open` gives a fresh bus, which it closes when the test ends. */
export function busContract(t: Test, name: string, open: (t: Test) => Promise<OpenedBus>): void {
  const withBus = (title: string, check: (t: Test, bus: Bus, opened: OpenedBus) => Promise<void>) =>
    void t.test(`${name}: ${title}`, async (t) => {
      const opened = await open(t)
      await check(t, opened.bus, opened)
    })

  withBus('every subscriber hears a message, and one that throws harms nobody', async (t, bus, { errors }) => {
    const heard: string[] = []
    bus.subscribe('a', () => {
      throw new Error('broken listener')
    })
    const leave = bus.subscribe('a', (message) => heard.push(`1 ${message}`))
    bus.subscribe('a', (message) => heard.push(`2 ${message}`))
    bus.subscribe('b', (message) => heard.push(`b ${message}`))
    bus.publish('a', 'x')
    t.same(heard, [], 'the publisher goes on first')
    await until(() => heard.length === 2)
    t.same(heard, ['1 x', '2 x'])
    leave()
    leave()
    bus.publish('a', 'ü \n "y" \0')
    bus.publish('nobody', 'z')
    bus.publish('b', 'last')
    await until(() => heard.includes('b last'))
    t.same(heard, ['1 x', '2 x', '2 ü \n "y" \0', 'b last'])
    t.equal(errors.length, 2)
  })

  withBus('a message to one process is heard there and nowhere else', async (t, bus) => {
    const heard: string[] = []
    bus.subscribe('a', (message) => heard.push(message))
    bus.send('another', 'a', 'x')
    bus.send(bus.instance, 'a', 'y')
    t.same(heard, [], 'the sender goes on first')
    bus.publish('a', 'last')
    await until(() => heard.includes('last'))
    t.same(heard, ['y', 'last'])
  })

  withBus('a function that subscribed twice leaves once at a time', async (t, bus) => {
    let heard = 0
    const listener = () => heard++
    const leave = bus.subscribe('a', listener)
    bus.subscribe('a', listener)
    leave()
    const last = Promise.withResolvers<string>()
    bus.subscribe('a', last.resolve)
    bus.publish('a', 'x')
    t.equal(await last.promise, 'x')
    t.equal(heard, 1)
  })

  withBus('a counter counts within its window', async (t, bus) => {
    const first = await bus.count('k', LONG_MS)
    t.equal(first.value, 1)
    t.ok(first.resetMs > LONG_MS / 2 && first.resetMs <= LONG_MS)
    const second = await bus.count('k', LONG_MS, 5)
    t.equal(second.value, 6)
    t.ok(second.resetMs <= first.resetMs, 'later counts do not prolong the window')
    t.equal((await bus.count('k', 2 * LONG_MS, 0)).value, 6)
    t.equal((await bus.count('other key: ü\n\0', LONG_MS)).value, 1)
    const at = await Promise.all(Array.from({ length: 100 }, () => bus.count('many', LONG_MS)))
    t.same(
      at.map(({ value }) => value).toSorted((a, b) => a - b),
      Array.from({ length: 100 }, (_, i) => i + 1)
    )
  })

  withBus('a counter starts again when its window has ended', async (t, bus) => {
    await bus.count('k', SHORT_MS, 7)
    await until(async () => (await bus.count('k', SHORT_MS, 0)).value === 0)
    t.equal((await bus.count('k', LONG_MS)).value, 1)
  })

  withBus('looking at a counter begins no window', async (t, bus) => {
    t.strictSame(await bus.count('k', SHORT_MS, 0), { value: 0, resetMs: SHORT_MS })
    const counted = await bus.count('k', LONG_MS)
    t.equal(counted.value, 1)
    t.ok(counted.resetMs > SHORT_MS)
  })

  withBus('a lease belongs to one owner until it is released or runs out', async (t, bus) => {
    t.equal(await bus.acquire('k', 'me', LONG_MS), true)
    t.equal(await bus.acquire('k', 'you', LONG_MS), false)
    await bus.release('k', 'you')
    t.equal(await bus.acquire('k', 'you', LONG_MS), false, 'only the owner releases')
    await bus.release('k', 'me')
    t.equal(await bus.acquire('k', 'you', SHORT_MS), true)
    await until(() => bus.acquire('k', 'me', LONG_MS))
    t.equal(await bus.acquire('k', 'you', LONG_MS), false)
    t.equal(await bus.acquire('another', 'you', LONG_MS), true)
  })

  withBus('a renewed lease lasts', async (t, bus) => {
    t.equal(await bus.acquire('k', 'me', SHORT_MS), true)
    t.equal(await bus.acquire('k', 'me', LONG_MS), true)
    t.equal(await bus.acquire('timer', 'me', 2 * SHORT_MS), true)
    await until(() => bus.acquire('timer', 'you', LONG_MS))
    t.equal(await bus.acquire('k', 'you', LONG_MS), false)
  })

  withBus('a lease may have several places, each of which ends by itself', async (t, bus) => {
    const owners = ['a', 'b', 'c', 'd', 'e']
    const taken = await Promise.all(owners.map((owner) => bus.acquire('k', owner, LONG_MS, 3)))
    t.same(taken, [true, true, true, false, false])
    t.equal(await bus.acquire('k', 'a', LONG_MS, 3), true, 'renewing takes no second place')
    t.equal(await bus.acquire('k', 'd', LONG_MS, 3), false)
    await bus.release('k', 'b')
    t.equal(await bus.acquire('k', 'd', LONG_MS, 3), true)
    t.equal(await bus.acquire('k', 'b', LONG_MS, 3), false)
    await bus.acquire('k', 'c', SHORT_MS, 3)
    await until(() => bus.acquire('k', 'b', LONG_MS, 3))
    t.equal(await bus.acquire('k', 'c', LONG_MS, 3), false)
  })

  withBus('of many that want a lease at once, one gets it', async (t, bus) => {
    const wanted = await Promise.all(Array.from({ length: 100 }, (_, i) => bus.acquire('k', `o${i}`, LONG_MS)))
    t.equal(wanted.filter(Boolean).length, 1)
  })

  withBus('it works, until it is closed', async (t, bus) => {
    const states: boolean[] = []
    bus.watch(({ isUp }) => states.push(isUp))
    await bus.ping()
    t.same(states, [true])
    let heard = 0
    bus.subscribe('a', () => heard++)
    await bus.close()
    await bus.close()
    bus.publish('a', 'after the end')
    await bus.count('k', LONG_MS)
    await bus.release('k', 'me')
    t.equal(heard, 0)
  })
}
