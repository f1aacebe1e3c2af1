import type { Bus } from './port.ts'

/**
 * Runs `work` if no other process of the installation has begun it within the interval; else answers undefined.
 * A turn is a lease that is left to run out, so the others wait one interval for a process that died. Work that failed
 * gives its turn back. It may still run twice at once: while what is shared is away, or when it takes longer than that.
 */
export type TakeTurn = <T>(name: string, intervalMs: number, work: () => Promise<T>) => Promise<T | undefined>

/** Turns over this bus; `owner` names the process. */
export function createTurns(bus: Bus, owner: string): TakeTurn {
  return async function takeTurn(name, intervalMs, work) {
    const key = `turn:${name}`
    if (!(await bus.acquire(key, owner, intervalMs))) return undefined
    try {
      return await work()
    } catch (error) {
      await bus.release(key, owner)
      throw error
    }
  }
}
