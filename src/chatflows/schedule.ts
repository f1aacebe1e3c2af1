import type { Clock } from '../clock.ts'

const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 60_000

export interface ScheduleOptions {
  clock: Clock
  /** Resolves when it succeeded; never called twice at once. */
  run: () => Promise<void>
  intervalMs: number
  /** Told of each failure and when the next try is. */
  onFailure: (error: unknown, retryMs: number) => void
}

/** Repeats a job: at once, after a failure with doubling pauses up to a minute, after a success every `intervalMs`. */
export function createSchedule({ clock, run, intervalMs, onFailure }: ScheduleOptions): {
  start(): void
  /** Ends the repetition and waits for the round that is under way. */
  stop(): Promise<void>
} {
  let isStopped = false
  let cancel = () => {}
  let round: Promise<void> = Promise.resolve()

  async function turn(retryMs: number): Promise<void> {
    const pause = await run().then(
      () => ({ nextMs: intervalMs, retryMs: FIRST_RETRY_MS }),
      (error: unknown) => {
        const nextMs = Math.min(retryMs, intervalMs)
        onFailure(error, nextMs)
        return { nextMs, retryMs: Math.min(retryMs * 2, MAX_RETRY_MS) }
      }
    )
    if (!isStopped) cancel = clock.after(pause.nextMs, () => begin(pause.retryMs))
  }

  function begin(retryMs: number): void {
    round = turn(retryMs)
  }

  return {
    start: () => begin(FIRST_RETRY_MS),
    async stop() {
      isStopped = true
      cancel()
      await round
    }
  }
}
