import type { Store } from '../../src/store/port.ts'
import { createFakeClock } from '../clock.ts'
import type { FakeClock } from '../clock.ts'
import { createHostileStore } from './hostile-store.ts'

export interface Schedule {
  clock: FakeClock
  random(): number
  /** A whole number between the two, both included. */
  between(low: number, high: number): number
  /** Adds a process that works on its own view of the store. */
  spawn(work: (store: Store) => Promise<void>): void
  /** Runs everything in random order, with crashes, until all processes are done or dead; `check` follows every step. */
  run(check: () => Promise<void>): Promise<void>
  counts: { crashed: number; late: number; steps: number }
}

interface Process {
  waiting: (() => void)[]
  isOver: boolean
}

/** A random interleaving of processes over one store, the same for the same seed. */
export function createSchedule(store: Store, seed: number): Schedule {
  const random = mulberry32(seed)
  const clock = createFakeClock()
  const processes: Process[] = []
  const late: (() => Promise<unknown>)[] = []
  const failures: unknown[] = []
  const counts = { crashed: 0, late: 0, steps: 0 }

  function spawn(work: (store: Store) => Promise<void>): void {
    const process: Process = { waiting: [], isOver: false }
    processes.push(process)
    const view = createHostileStore(store, {
      random,
      turn: () => new Promise((resolve) => process.waiting.push(resolve)),
      postpone: (write) => late.push(write)
    })
    work(view)
      .catch((error: unknown) => failures.push(error))
      .finally(() => {
        process.isOver = true
      })
  }

  async function step(): Promise<void> {
    counts.steps++
    if (random() < 0.3) clock.advance(Math.floor(random() * 8_000))
    if (late.length > 0 && random() < 0.12) return land()
    const ready = processes.filter((process) => !process.isOver && process.waiting.length > 0)
    const process = ready[Math.floor(random() * ready.length)]
    // Nobody waits for the store: all that is left are pauses and late writes.
    if (!process) return clock.nextAt() === undefined ? land() : clock.advance(1000)
    if (random() < 0.01) {
      process.isOver = true
      counts.crashed++
      return
    }
    process.waiting.splice(Math.floor(random() * process.waiting.length), 1)[0]?.()
  }

  async function land(): Promise<void> {
    const [write] = late.splice(Math.floor(random() * late.length), 1)
    if (!write) return
    counts.late++
    await write()
  }

  return {
    clock,
    random,
    between: (low, high) => low + Math.floor(random() * (high - low + 1)),
    spawn,
    counts,
    async run(check) {
      while (late.length > 0 || processes.some((process) => !process.isOver)) {
        await step()
        // A write is committed in the next turn, and its caller goes on in the one after.
        await nextTurn()
        await nextTurn()
        await check()
        if (failures.length > 0) throw failures[0]
      }
    }
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
