import { type Db, ObjectId } from 'mongodb'
import type { Clock } from '../../clock.ts'
import type { Marks } from '../port.ts'
import type { Calls } from './calls.ts'
import { isTaken } from './errors.ts'

/** Rows share counts: more of them cost each look, fewer make more rows look changed that are not. */
const PLACES = 256
const COLLECTION = 'row_changes'
const ID = 'counts'
/** A change of which nobody has said that it is over, is over by then, whatever became of it. */
const OVER_MS = 60_000

interface Counted {
  _id: string
  /** By place; none: 0. */
  counts?: Record<string, number>
  /** Changes that are under way. */
  open?: Record<string, { place: number; at: number }>
}

/** The marks, and how they come to be. */
export interface RowMarks extends Marks {
  /** Makes a change of a row, and marks it before and after. */
  around<T>(name: string, id: string, change: () => Promise<T>): Promise<T>
  /** Ends what processes that died have left open. */
  maintain(): Promise<void>
}

export interface MarksOptions {
  db: Db
  clock: Clock
  run: Calls['run']
  /** Collections whose changes are marked. */
  names: ReadonlySet<string>
}

/** The marks in this database: one small document. */
export function createRowMarks({ db, clock, run, names }: MarksOptions): RowMarks {
  const marks = db.collection<Counted>(COLLECTION)

  async function begin(key: string, place: number): Promise<void> {
    const open = { [`open.${key}`]: { place, at: clock.now() } }
    const mark = (upsert: boolean) => run(() => marks.updateOne({ _id: ID }, { $set: open }, { upsert }))
    try {
      await mark(true)
    } catch (error) {
      // Two processes have made the document at the same time.
      if (!isTaken(error)) throw error
      await mark(false)
    }
  }

  function end(key: string, place: number): Promise<unknown> {
    const isOpen = { _id: ID, [`open.${key}`]: { $exists: true } }
    return run(() => marks.updateOne(isOpen, { $inc: { [`counts.${place}`]: 1 }, $unset: { [`open.${key}`]: '' } }))
  }

  return {
    async around(name, id, change) {
      if (!names.has(name)) return change()
      const place = placeOf(name, id)
      const key = new ObjectId().toHexString()
      await begin(key, place)
      // After a failure it may still land: it stays open.
      const changed = await change()
      end(key, place).catch(() => {})
      return changed
    },
    async look() {
      const { counts = {}, open = {} } = (await run(() => marks.findOne({ _id: ID }))) ?? {}
      const changing = new Set(Object.values(open).map(({ place }) => place))
      return (name, id) => {
        if (!names.has(name)) return undefined
        const place = placeOf(name, id)
        return changing.has(place) ? undefined : (counts[place] ?? 0)
      }
    },
    async maintain() {
      const { open = {} } = (await run(() => marks.findOne({ _id: ID }))) ?? {}
      for (const [key, { place, at }] of Object.entries(open)) if (clock.now() - at >= OVER_MS) await end(key, place)
    }
  }
}

/** FNV-1a over both names. */
function placeOf(name: string, id: string): number {
  const row = `${name}/${id}`
  let hash = 0x811c9dc5
  for (let index = 0; index < row.length; index++) hash = Math.imul(hash ^ row.charCodeAt(index), 0x01000193)
  return (hash >>> 0) % PLACES
}
