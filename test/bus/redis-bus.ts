import type { Test } from 'tap'
import type { Bus, BusState } from '../../src/bus/port.ts'
import { openRedisBus } from '../../src/bus/redis.ts'
import { createSystemClock } from '../../src/clock.ts'
import { createIds } from '../../src/ids.ts'

export interface OpenedRedisBus {
  bus: Bus
  /** What listeners threw. */
  errors: unknown[]
  /** Every state since it was opened, the first included. */
  states: BusState[]
  /** Resolves when the state is this, now or later. */
  when(isUp: boolean): Promise<void>
}

/** The bus of one more process; closed when the test ends. */
export async function openBusOn(t: Test, url: string, prefix: string): Promise<OpenedRedisBus> {
  const errors: unknown[] = []
  const states: BusState[] = []
  const waiting = new Set<() => void>()
  const bus = await openRedisBus({
    url,
    prefix,
    instance: createIds().run(),
    clock: createSystemClock(),
    onError: (error) => errors.push(error)
  })
  t.teardown(() => bus.close())
  bus.watch((state) => {
    states.push(state)
    for (const wake of waiting) wake()
    waiting.clear()
  })
  return {
    bus,
    errors,
    states,
    async when(isUp) {
      while (states.at(-1)?.isUp !== isUp) await new Promise<void>((resolve) => void waiting.add(resolve))
    }
  }
}
