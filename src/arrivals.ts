import { AppError } from './errors.ts'

export interface ArrivalLimits {
  /** Of one sender. */
  eachBytes: number
  /** Of all of them. */
  allBytes: number
}

/** Room for bodies that are still on their way: they are in memory for as long as their senders like. */
export interface Arrivals {
  /** Takes room for a body; what it answers gives the room back, once. @throws too_many_uploads, overloaded */
  take(sender: string, bytes: number): () => void
}

/** Room in this process. */
export function createArrivals({ eachBytes, allBytes }: ArrivalLimits): Arrivals {
  const taken = new Map<string, number>()
  let all = 0

  function add(sender: string, bytes: number): void {
    all += bytes
    const theirs = (taken.get(sender) ?? 0) + bytes
    if (theirs === 0) taken.delete(sender)
    else taken.set(sender, theirs)
  }

  return {
    take(sender, bytes) {
      if ((taken.get(sender) ?? 0) + bytes > eachBytes) throw new AppError('too_many_uploads', { retryAfterSeconds: 1 })
      if (all + bytes > allBytes) throw new AppError('overloaded')
      add(sender, bytes)
      let isGivenBack = false
      return () => {
        if (!isGivenBack) add(sender, -bytes)
        isGivenBack = true
      }
    }
  }
}
