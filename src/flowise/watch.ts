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
export function createWatch(options: WatchOptions): Watch {
  return new RunningWatch(options)
}

/** A class, because each run has one. */
class RunningWatch implements Watch {
  readonly #options: WatchOptions
  readonly #check = (): void => this.#lookAround()
  #activeAt: number | undefined
  #isSuspended = false
  #isStopped = false
  #cancel: () => void

  constructor(options: WatchOptions) {
    this.#options = options
    this.#cancel = this.#schedule()
  }

  active(): void {
    const isFirst = this.#activeAt === undefined
    this.#activeAt = this.#options.clock.now()
    if (isFirst) this.#reschedule()
  }

  suspend(): void {
    this.#isSuspended = true
  }

  resume(): void {
    this.#isSuspended = false
    this.#activeAt = this.#options.clock.now()
    this.#reschedule()
  }

  stop(): void {
    this.#isStopped = true
    this.#cancel()
  }

  #due(): { at: number; limit: 'first_byte' | 'idle' | 'deadline' } {
    const { startedAt, firstByteMs, idleMs, deadlineMs } = this.#options
    const activeAt = this.#activeAt
    const deadlineAt = startedAt + deadlineMs
    if (this.#isSuspended) return { at: deadlineAt, limit: 'deadline' }
    const silenceAt = activeAt === undefined ? startedAt + firstByteMs : activeAt + idleMs
    if (silenceAt < deadlineAt) return { at: silenceAt, limit: activeAt === undefined ? 'first_byte' : 'idle' }
    return { at: deadlineAt, limit: 'deadline' }
  }

  #schedule(): () => void {
    const { clock } = this.#options
    return clock.after(Math.max(0, this.#due().at - clock.now()), this.#check)
  }

  #reschedule(): void {
    if (this.#isStopped) return
    this.#cancel()
    this.#cancel = this.#schedule()
  }

  #lookAround(): void {
    if (this.#isStopped) return
    const { at, limit } = this.#due()
    if (this.#options.clock.now() < at) {
      this.#cancel = this.#schedule()
      return
    }
    this.#isStopped = true
    this.#options.onDue(limit)
  }
}
