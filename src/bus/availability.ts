import type { BusState } from './port.ts'

/** Above it commands wait here: in a longer queue at the server the last would run into their time limit. */
const MAX_IN_FLIGHT = 500

export interface AvailabilityOptions {
  /** Restores what is shared before commands go there again; rejects if that is not possible yet. */
  recover: () => Promise<void>
  reasonOf: (error: unknown) => string
}

/**
 * Whether a server works, by what its commands say. The first that fails takes it out of use for all, so that an outage
 * costs one of them its wait; it comes back by `tryRecover`.
 */
export function createAvailability({ recover, reasonOf }: AvailabilityOptions) {
  const listeners = new Set<(state: BusState) => void>()
  let state: BusState = { isUp: true }
  let isClosed = false
  let recovering: Promise<void> | undefined
  const waiting: (() => void)[] = []
  let inFlight = 0

  function become(next: BusState): void {
    if (isClosed || next.isUp === state.isUp) return
    state = next
    for (const listener of listeners) listener(state)
  }

  async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (inFlight >= MAX_IN_FLIGHT) await new Promise<void>((resolve) => void waiting.push(resolve))
    inFlight++
    try {
      return await work()
    } finally {
      inFlight--
      waiting.shift()?.()
    }
  }

  async function recoverOnce(): Promise<void> {
    try {
      await recover()
      become({ isUp: true })
    } catch {
      // The outage goes on; it has been reported.
    } finally {
      recovering = undefined
    }
  }

  return {
    get state() {
      return state
    },
    watch(listener: (state: BusState) => void): void {
      listeners.add(listener)
      listener(state)
    },
    failed: (error: unknown) => become({ isUp: false, reason: reasonOf(error) }),
    /** The answer of the command, or undefined when there is none to be had. Never rejects. */
    attempt<T extends object | string | number>(command: () => Promise<T>): Promise<T | undefined> {
      return inTurn(async () => {
        if (!state.isUp || isClosed) return undefined
        try {
          return await command()
        } catch (error) {
          become({ isUp: false, reason: reasonOf(error) })
          return undefined
        }
      })
    },
    async tryRecover(): Promise<void> {
      if (state.isUp || isClosed) return
      recovering ??= recoverOnce()
      await recovering
    },
    close(): void {
      isClosed = true
    }
  }
}
