import { type Clock, pause } from '../clock.ts'
import { AppError } from '../errors.ts'

/** Before the repetitions of a write whose answer was lost; after the last the store counts as down. */
const PAUSES_MS = [0, 50, 200]
/** Repetitions because others changed the row in between; each means that somebody else got on. */
const MAX_TRIES = 100

/**
 * Repeats `step` until it answers something but undefined. A step is one read and one guarded write. After a lost answer
 * (store_unavailable) nothing is known, so a step that is not the first must read, and recognise its own earlier write.
 * @throws store_unavailable when the store stays away, or whatever else a step throws
 */
export async function persist<T>(clock: Clock, step: (isRepeated: boolean) => Promise<T | undefined>): Promise<T> {
  let losses = 0
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    try {
      const done = await step(tries > 0)
      if (done !== undefined) return done
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'store_unavailable') throw error
      const pauseMs = PAUSES_MS[losses++]
      if (pauseMs === undefined) throw error
      if (pauseMs > 0) await pause(clock, pauseMs)
    }
  }
  throw new AppError('store_unavailable', {}, { cause: new Error(`Gave up after ${MAX_TRIES} concurrent changes`) })
}
