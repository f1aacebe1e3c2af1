import type { Store } from '../../src/store/port.ts'
import type { FakeClock } from '../clock.ts'
import type { Fate } from '../servers/wire-connection.ts'
import type { Process, Waiting, Wire } from './hostile-wire.ts'

/** One number of a tape is one step; 0 is the calmest: the first request passes, and no time does. */
export const LARGEST_STEP = 100 * 64 * 64 - 1
const MAX_CRASHES = 2
/** Far more than the longest one needs. */
const MAX_STEPS = 20_000
/** How long a hold lives without a heartbeat. */
export const LEASE_MS = 60_000

/** Somebody who works in the process of this number. */
export interface Actor {
  process: number
  work(store: Store): Promise<void>
}

export interface ScheduleOptions {
  wire: Wire
  clock: FakeClock
  /** What happens, step by step; behind its end everything goes well. */
  tape: readonly number[]
  /** Called whenever something was written. */
  check(): Promise<void>
}

export interface Counts {
  steps: number
  lost: number
  late: number
  crashed: number
}

/** An actor in a process that lives. */
interface Working {
  actor: Actor
}

/** Lets two processes do what the actors want, one request at a time in the order of the tape, until all are done. */
export async function runSchedule(actors: Actor[], { wire, clock, tape, check }: ScheduleOptions): Promise<Counts> {
  const counts: Counts = { steps: 0, lost: 0, late: 0, crashed: 0 }
  const processes = [await wire.start(0), await wire.start(1)]
  const working = new Set<Working>()
  const failures: unknown[] = []
  /** Writes and answers that are still on their way. */
  const late: (() => void)[] = []

  function begin(actor: Actor): void {
    const process = processes[actor.process]
    if (!process) throw new Error(`There is no process ${actor.process}`)
    const self: Working = { actor }
    working.add(self)
    actor
      .work(process.store)
      .catch((error: unknown) => failures.push(error))
      .finally(() => working.delete(self))
  }

  function requests(): Waiting[] {
    return processes.flatMap((process) => process.waiting().sort((a, b) => (a.name < b.name ? -1 : 1)))
  }

  /** Another process takes its place, and whoever had no answer yet asks again there. */
  async function crash(index: number, isHeard: boolean): Promise<void> {
    counts.crashed++
    const process: Process | undefined = processes[index]
    if (!process) return
    const left = process.waiting()
    await process.kill()
    for (const { decide } of left) late.push(() => decide(isHeard ? 'pass' : 'lose-request'))
    const unanswered = [...working].filter(({ actor }) => actor.process === index)
    processes[index] = await wire.start(index)
    for (const self of unanswered) {
      working.delete(self)
      begin(self.actor)
    }
  }

  /** True if something may have been written. */
  async function step(number: number): Promise<boolean> {
    const chance = number % 100
    const pick = Math.floor(number / 100) % 64
    const dueAt = clock.nextAt() ?? Number.POSITIVE_INFINITY
    clock.advance(pauseOf(Math.floor(number / 6400)))
    // Whoever waited for that moment comes first.
    if (dueAt <= clock.now()) return false
    const waiting = requests()
    if (late.length > 0 && (chance >= 90 || waiting.length === 0)) {
      late.splice(pick % late.length, 1)[0]?.()
      return true
    }
    if (chance >= 98 && counts.crashed < MAX_CRASHES) {
      await crash(pick % 2, pick % 4 < 2)
      return false
    }
    const request = waiting[pick % waiting.length]
    if (!request) {
      const nextAt = clock.nextAt()
      if (nextAt === undefined) throw new Error('Nothing moves any more')
      clock.advance(nextAt - clock.now())
      return false
    }
    request.decide(fateOf(chance, request.isWrite))
    return request.isWrite
  }

  function fateOf(chance: number, isWrite: boolean): Fate {
    if (chance < 70 || chance >= 90 || (!isWrite && chance >= 75)) return 'pass'
    counts.lost++
    if (chance < 77) return 'lose-answer'
    if (chance < 80) return 'lose-request'
    counts.late++
    const gate = Promise.withResolvers<void>()
    late.push(gate.resolve)
    return chance < 87 ? { landLate: gate.promise } : { delayAnswer: gate.promise }
  }

  for (const actor of actors) begin(actor)
  for (;;) {
    await wire.settled()
    if (failures.length > 0) throw failures[0]
    if (working.size === 0 && late.length === 0 && requests().length === 0) return counts
    if (counts.steps > MAX_STEPS) throw new Error('The schedule does not come to an end')
    if (await step(tape[counts.steps++] ?? 0)) {
      await wire.settled()
      await check()
    }
  }
}

/** Mostly none, sometimes seconds, once in a while longer than a lease. */
function pauseOf(chance: number): number {
  if (chance < 40) return 0
  return chance === 63 ? LEASE_MS + 1000 : (chance - 39) * 350
}
