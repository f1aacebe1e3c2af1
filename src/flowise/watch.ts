import type { Clock } from '../clock.ts'

export interface WatchLimits {
  firstByteTimeoutMs: number
  idleTimeoutMs: number
  deadlineMs: number
}

export interface WatchOptions {
  clock: Clock
  /** What the first byte and the deadline are counted from. */
  startedAt: number
  limits: WatchLimits
}

export type Limit = 'first_byte' | 'idle' | 'deadline'

/** Hears of a limit that was reached, at most once. */
export interface WatchListener {
  onDue(limit: Limit): void
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

/** Starts watching at once. */
export function createWatch(options: WatchOptions, listener: WatchListener): Watch {
  return new RunningWatch(options, listener)
}

/** A class, because each run has one. */
class RunningWatch implements Watch {
  readonly #clock: Clock
  readonly #startedAt: number
  readonly #limits: WatchLimits
  readonly #listener: WatchListener
  readonly #check = (): void => this.#lookAround()
  #activeAt: number | undefined
  #isSuspended = false
  #isStopped = false
  #cancel: () => void

  constructor({ clock, startedAt, limits }: WatchOptions, listener: WatchListener) {
    this.#clock = clock
    this.#startedAt = startedAt
    this.#limits = limits
    this.#listener = listener
    this.#cancel = this.#schedule()
  }

  active(): void {
    const isFirst = this.#activeAt === undefined
    this.#activeAt = this.#clock.now()
    if (isFirst) this.#reschedule()
  }

  suspend(): void {
    this.#isSuspended = true
  }

  resume(): void {
    this.#isSuspended = false
    this.#activeAt = this.#clock.now()
    this.#reschedule()
  }

  stop(): void {
    this.#isStopped = true
    this.#cancel()
  }

  #due(): { at: number; limit: Limit } {
    const { firstByteTimeoutMs, idleTimeoutMs, deadlineMs } = this.#limits
    const activeAt = this.#activeAt
    const deadlineAt = this.#startedAt + deadlineMs
    if (this.#isSuspended) return { at: deadlineAt, limit: 'deadline' }
    const silenceAt = activeAt === undefined ? this.#startedAt + firstByteTimeoutMs : activeAt + idleTimeoutMs
    if (silenceAt < deadlineAt) return { at: silenceAt, limit: activeAt === undefined ? 'first_byte' : 'idle' }
    return { at: deadlineAt, limit: 'deadline' }
  }

  #schedule(): () => void {
    return this.#clock.after(Math.max(0, this.#due().at - this.#clock.now()), this.#check)
  }

  #reschedule(): void {
    if (this.#isStopped) return
    this.#cancel()
    this.#cancel = this.#schedule()
  }

  #lookAround(): void {
    if (this.#isStopped) return
    const { at, limit } = this.#due()
    if (this.#clock.now() < at) {
      this.#cancel = this.#schedule()
      return
    }
    this.#isStopped = true
    this.#listener.onDue(limit)
  }
}
