import { isTaken, unavailable } from './errors.ts'

/** The calls to the server that are under way: limited in number, and waited for at the end. */
export interface Calls {
  /** Makes a call. @throws store_unavailable, at once when too many are under way; an error that isTaken knows is thrown as it is */
  run<T>(call: () => Promise<T>): Promise<T>
  readonly isEnded: boolean
  /** Refuses further calls and resolves when none is under way. */
  end(): Promise<void>
}

/**
 * At most `max` calls at once, those included that wait for a connection: when the server hangs, the rest is refused at once
 * instead of piling up.
 */
export function createCalls(max: number): Calls {
  let underWay = 0
  let isEnded = false
  const idle = Promise.withResolvers<void>()

  return {
    get isEnded() {
      return isEnded
    },
    async run(call) {
      if (isEnded) throw unavailable(new Error('The store is closed'))
      if (underWay >= max) throw unavailable(new Error('Too many calls under way'))
      underWay++
      try {
        return await call()
      } catch (error) {
        throw isTaken(error) ? error : unavailable(error)
      } finally {
        underWay--
        if (isEnded && underWay === 0) idle.resolve()
      }
    },
    async end() {
      isEnded = true
      if (underWay > 0) await idle.promise
    }
  }
}
