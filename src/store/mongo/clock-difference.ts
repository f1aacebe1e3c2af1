import type { MongoClient } from 'mongodb'
import type { Clock } from '../../clock.ts'
import type { Calls } from './calls.ts'

interface Connection {
  client: MongoClient
  database: string
  calls: Calls
}

/**
 * How far the clock of the server is ahead of this one, ms; negative when it is behind, and 0 when the difference is within
 * the time the answer took. @throws store_unavailable
 */
export async function clockDifferenceMs({ client, database, calls }: Connection, clock: Clock): Promise<number> {
  const askedAt = clock.now()
  const { localTime } = await calls.run(() => client.db(database).command({ hello: 1 }))
  const answeredAt = clock.now()
  if (!(localTime instanceof Date)) return 0
  const theirs = localTime.getTime()
  return theirs < askedAt ? theirs - askedAt : Math.max(0, theirs - answeredAt)
}
