import type { Clock } from '../clock.ts'

export interface WatchOptions {
  clock: Clock
  /** What the first byte and the deadline are counted from. */
  startedAt: number
  firstByteMs: number
  idleMs: number
  deadlineMs: number
  onDue: (limit: 'first_byte' | 'idle' | 'deadline') => void
}

/** The three limits of a running prediction on one timer; activity costs a clock reading and no timer. */
export interface Watch {
  /** Something counted as an answer: from now on silence is idleness. */
  active(): void
  /** While the client is the slow one, silence is not Flowise's. */
  suspend(): void
  resume(): void
  stop(): void
}

/** Starts watching at once; `onDue` is called at most once. */
export function createWatch({ clock, startedAt, firstByteMs, idleMs, deadlineMs, onDue }: WatchOptions): Watch {
  let activeAt: number | undefined
  let isSuspended = false
  let isStopped = false
  let cancel = schedule()

  function due(): { at: number; limit: 'first_byte' | 'idle' | 'deadline' } {
    const deadlineAt = startedAt + deadlineMs
    if (isSuspended) return { at: deadlineAt, limit: 'deadline' }
    const silenceAt = activeAt === undefined ? startedAt + firstByteMs : activeAt + idleMs
    if (silenceAt < deadlineAt) return { at: silenceAt, limit: activeAt === undefined ? 'first_byte' : 'idle' }
    return { at: deadlineAt, limit: 'deadline' }
  }

  function schedule(): () => void {
    return clock.after(Math.max(0, due().at - clock.now()), check)
  }

  function check(): void {
    if (isStopped) return
    const { at, limit } = due()
    if (clock.now() < at) {
      cancel = schedule()
      return
    }
    isStopped = true
    onDue(limit)
  }

  return {
    active() {
      const isFirst = activeAt === undefined
      activeAt = clock.now()
      if (isFirst && !isStopped) reschedule()
    },
    suspend() {
      isSuspended = true
    },
    resume() {
      isSuspended = false
      activeAt = clock.now()
      if (!isStopped) reschedule()
    },
    stop() {
      isStopped = true
      cancel()
    }
  }

  function reschedule(): void {
    cancel()
    cancel = schedule()
  }
}
