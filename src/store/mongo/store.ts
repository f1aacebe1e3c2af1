import type { Document as BsonDocument, Collection as MongoCollection, Db, Filter } from 'mongodb'
import type { Clock } from '../../clock.ts'
import { checkAppends, checkDocument, checkLimit, specsByName } from '../checks.ts'
import type { Append, Change, Collection, CollectionSpec, Document, Guard, Store } from '../port.ts'
import type { Calls } from './calls.ts'
import {
  checkNonNegative,
  fromDocument,
  lowerBounds,
  negative,
  type StoredDocument,
  toDocument,
  updateOf,
  waitingOf,
  WITHOUT_OUTBOX
} from './document.ts'
import { isTaken, unavailable } from './errors.ts'
import { filterOf, keysetOf, sortOf } from './filter.ts'
import { createRowMarks } from './marks.ts'
import { createOutbox } from './outbox.ts'

/** Appended documents that may wait in one source; beyond, they are published before more are added. */
const MAX_WAITING = 256
/** Repetitions of a write because its source's outbox was full, or not empty, again. */
const MAX_TRIES = 20
/** How long a removed id stays taken: far longer than a copy of its document can be under way. */
const TOMBSTONE_MS = 3_600_000

const HAS_ROOM = { [`%pending.${MAX_WAITING - 1}`]: { $exists: false } }
const NOTHING_WAITS = { '%pending.0': { $exists: false } }
const NOT_REMOVED = { '%removedAt': { $exists: false } }

export interface MongoOptions {
  db: Db
  specs: CollectionSpec[]
  clock: Clock
  calls: Calls
  /** Releases the connections. */
  disconnect: () => Promise<void>
}

/**
 * The storage port over MongoDB: each operation is one write with classic operators, and no transaction. Appended documents
 * travel in an outbox inside the document they were written with; whoever reads their collection publishes them first (ADR 7).
 */
export function createMongoStore({ db, specs, clock, calls, disconnect }: MongoOptions): Store {
  const { run } = calls
  const specOf = specsByName(specs)
  const outbox = createOutbox({ db, clock, run })
  const marked = specs.filter(({ isMarked }) => isMarked).map(({ name }) => name)
  const marks = createRowMarks({ db, clock, run, names: new Set(marked) })

  function collection<D extends Document>(name: string): Collection<D> {
    const spec = specOf(name)
    const isTarget = spec.appendedFrom !== undefined
    const alive = isTarget ? NOT_REMOVED : {}
    const documents: MongoCollection<StoredDocument> = db.collection(name)

    /** Why a write met no document although the caller's guard holds; undefined if it does not. */
    async function blockOf(own: Filter<StoredDocument>, bounds: [string, number][]): Promise<Block | undefined> {
      const projection = Object.fromEntries(['%pending', ...bounds.map(([path]) => path)].map((path) => [path, 1]))
      const found = await run(() => documents.findOne(own, { projection }))
      if (found === null) return undefined
      const short = bounds.find(([path, bound]) => !(Number(found[path] ?? 0) >= bound))
      if (short) throw negative(name, short[0])
      return (found['%pending'] ?? []).length > 0 ? 'waiting' : 'gone'
    }

    /** Repeats a write until its document is met, or is not there as the guard wants it. */
    async function applied<T>(id: string, guard: Guard, extra: Extra, write: Write<T>): Promise<T | false> {
      const { outbox: room, bounds } = extra
      const own: Filter<StoredDocument> = { _id: id, ...alive, ...filterOf(guard) }
      const hasExtra = room !== undefined || bounds.length > 0
      const filter = { $and: [own, room ?? {}, filterOf({ gte: Object.fromEntries(bounds) })] }
      for (let tries = 0; tries < MAX_TRIES; tries++) {
        const met = await run(() => write(hasExtra ? filter : own))
        if (met !== false) return met
        if (isTarget && tries === 0) {
          // Also when nothing waits any more: somebody may have published it a moment after the write.
          await outbox.flush(spec, id)
          continue
        }
        const block = hasExtra ? await blockOf(own, bounds) : undefined
        if (block === undefined) return false
        if (block === 'waiting') await outbox.empty(name, id)
      }
      throw unavailable(new Error('The outbox does not empty'))
    }

    /** Makes a change by this command, and sees to what is appended with it. */
    async function changed<T>(
      { id, guard, change, append = [] }: Update,
      command: (filter: Filter<StoredDocument>, update: BsonDocument) => Promise<T | false>
    ): Promise<T | false> {
      checkAppends(name, append, specOf)
      const waiting = append.map(waitingOf)
      const update = updateOf(change, waiting)
      const extra = { outbox: append.length > 0 ? HAS_ROOM : undefined, bounds: lowerBounds(spec, change) }
      if (!id.isWellFormed()) return false
      const apply = () => unlessTaken(applied(id, guard, extra, (filter) => command(filter, update)))
      const done = await marks.around(name, id, apply)
      if (done !== false) outbox.publishSoon(name, id, waiting)
      return done
    }

    async function get(id: string): Promise<D | undefined> {
      if (!id.isWellFormed()) return undefined
      if (isTarget) await outbox.flush(spec, id)
      const found = await run(() => documents.findOne({ _id: id, ...alive }, { projection: WITHOUT_OUTBOX }))
      return found === null ? undefined : (fromDocument(found) as D)
    }

    return {
      get,
      recent: get,
      async insert(document, append = []) {
        checkDocument(document)
        checkNonNegative(spec, document)
        checkAppends(name, append, specOf)
        const waiting = append.map(waitingOf)
        const stored = toDocument(document, waiting)
        const isNew = await unlessTaken(run(async () => (await documents.insertOne(stored)).acknowledged))
        if (isNew) outbox.publishSoon(name, document.id, waiting)
        return isNew
      },
      update: (id, guard, change, append) =>
        changed(
          { id, guard, change, append },
          async (filter, update) => (await documents.updateOne(filter, update)).matchedCount === 1
        ),
      async updated(id, guard, change, append) {
        // Without a projection, which FerretDB does not take here.
        const found = await changed(
          { id, guard, change, append },
          async (filter, update) =>
            (await documents.findOneAndUpdate(filter, update, { returnDocument: 'after' })) ?? false
        )
        return found === false ? undefined : (fromDocument(found) as D)
      },
      async remove(id, guard = {}) {
        if (!id.isWellFormed()) return false
        // What waits in a document belongs to other collections: it must not go with it.
        const removed: Write<boolean> = async (filter) => {
          if (!isTarget) return (await documents.deleteOne(filter)).deletedCount === 1
          return (await documents.replaceOne(filter, { '%removedAt': clock.now() })).modifiedCount === 1
        }
        return marks.around(name, id, () => applied(id, guard, { outbox: NOTHING_WAITS, bounds: [] }, removed))
      },
      async list(query) {
        checkLimit(query.limit)
        const filter = { $and: [filterOf(query.where ?? {}), keysetOf(query), alive] }
        if (isTarget) await outbox.flush(spec)
        const { limit } = query
        const options = { sort: sortOf(query), limit, batchSize: limit, projection: WITHOUT_OUTBOX }
        const found = await run(() => documents.find(filter, options).toArray())
        return found.map((document) => fromDocument(document) as D)
      },
      async count(where) {
        const filter = { $and: [filterOf(where), alive] }
        if (isTarget) await outbox.flush(spec)
        return run(() => documents.countDocuments(filter))
      }
    }
  }

  return {
    kind: 'mongodb',
    commitsInOrder: false,
    marks,
    collection,
    async ping() {
      await run(() => db.command({ ping: 1 }))
    },
    async maintain() {
      const before = clock.now() - TOMBSTONE_MS
      for (const spec of specs) {
        if (!spec.appendedFrom) continue
        await outbox.flush(spec)
        await run(() => db.collection(spec.name).deleteMany({ '%removedAt': { $lt: before } }))
      }
      await marks.maintain()
    },
    async close() {
      if (calls.isEnded) return
      await outbox.settled()
      await calls.end()
      await disconnect()
    }
  }
}

/** What came of it; false when no document was met. */
type Write<T> = (filter: Filter<StoredDocument>) => Promise<T | false>

interface Update {
  id: string
  guard: Guard
  change: Change
  append: Append[] | undefined
}

/** Something waits in the outbox, or what was in the way a moment ago is gone. */
type Block = 'waiting' | 'gone'

/** Conditions of the adapter's own: room in the outbox or nothing in it, and what decrements ask for. */
interface Extra {
  outbox: Filter<StoredDocument> | undefined
  bounds: [path: string, bound: number][]
}

/** False when an id or a unique key is taken. */
async function unlessTaken<T>(write: Promise<T | false>): Promise<T | false> {
  try {
    return await write
  } catch (error) {
    if (isTaken(error)) return false
    throw error
  }
}
