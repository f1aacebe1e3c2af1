import type { Collection, Db } from 'mongodb'
import type { Clock } from '../../clock.ts'
import type { CollectionSpec } from '../port.ts'
import { type KeyedWaiting, outboxKey, type StoredDocument, withoutWaiting } from './document.ts'
import { areAllTaken } from './errors.ts'

/** FerretDB opens a connection to its database for each update of a command, has a hundred, and waits for ever when all are taken. */
const BATCH = 50
/** How long the first of a batch waits for others: what an account or a session gets one after the other is taken out at once. */
const GATHER_MS = 50
/** More wait in their sources only, and are found there. */
const MAX_QUEUED = 10_000

/** Brings appended documents from the documents they came with into their own collections, each exactly once. */
export interface Outbox {
  /** Publishes in the background, and with others, what was just written with this document. */
  publishSoon(source: string, id: string, waiting: KeyedWaiting[]): void
  /** Publishes what waits for this collection, or for this document of it; true if anything did. */
  flush(target: CollectionSpec, id?: string): Promise<boolean>
  /** Publishes what waits in this document; true if anything did. */
  empty(source: string, id: string): Promise<boolean>
  /** Publishes at once what the background has left to do. */
  settled(): Promise<void>
}

interface Item {
  source: string
  sourceId: string
  key: string
  target: string
  document: StoredDocument
}

export interface OutboxOptions {
  db: Db
  clock: Clock
  /** Makes the calls. */
  run: <T>(call: () => Promise<T>) => Promise<T>
}

/**
 * The outbox over this database. Publishing inserts a document by its id (there already: done) and then takes it out of its
 * source, so that any number of processes may do it at once, and die at any point.
 */
export function createOutbox({ db, clock, run }: OutboxOptions): Outbox {
  let queue: Item[] = []
  let pumping: Promise<void> | undefined
  let cancelGathering: (() => void) | undefined
  const emptying = new Map<string, Promise<boolean>>()

  const collection = (name: string): Collection<StoredDocument> => db.collection<StoredDocument>(name)

  async function publish(items: Item[]): Promise<void> {
    const perTarget = Map.groupBy(items, ({ target }) => target)
    await Promise.all([...perTarget].map(([target, group]) => insertAll(target, group)))
    const perSource = Map.groupBy(items, ({ source }) => source)
    await Promise.all([...perSource].map(([source, group]) => takeOut(source, group)))
  }

  async function insertAll(target: string, items: Item[]): Promise<void> {
    const documents = items.map(({ document }) => document)
    await run(async () => {
      try {
        await collection(target).insertMany(documents, { ordered: false })
      } catch (error) {
        if (!areAllTaken(error)) throw error
      }
    })
  }

  async function takeOut(source: string, items: Item[]): Promise<void> {
    const perDocument = Map.groupBy(items, ({ sourceId }) => sourceId)
    const updates = [...perDocument].map(([_id, group]) => ({
      updateOne: { filter: { _id }, update: withoutWaiting(group.map(({ key }) => key)) }
    }))
    await run(() => collection(source).bulkWrite(updates, { ordered: false }))
  }

  /** What could not be published stays in its source, where the next reader or the next relay finds it. */
  async function pump(): Promise<void> {
    do {
      const batch = queue.slice(0, BATCH)
      queue = queue.slice(BATCH)
      await publish(batch).catch(() => {
        queue = []
      })
    } while (queue.length >= BATCH)
    pumping = undefined
    if (queue.length > 0) gather()
  }

  function gather(): void {
    cancelGathering ??= clock.after(GATHER_MS, start)
  }

  function start(): void {
    cancelGathering?.()
    cancelGathering = undefined
    pumping ??= Promise.resolve().then(pump)
  }

  /** What a reader has published, the background need not. */
  async function publishNow(items: Item[]): Promise<void> {
    await publish(items)
    const done = new Set(items.map(({ key }) => key))
    queue = queue.filter(({ key }) => !done.has(key))
  }

  async function publishFrom(source: string, filter: Record<string, unknown>, prefix: string): Promise<boolean> {
    let found = false
    for (;;) {
      const documents = await run(() =>
        collection(source)
          .find(filter, { projection: { '%outbox': 1, '%pending': 1 }, limit: BATCH })
          .toArray()
      )
      const items = documents.flatMap((document) => itemsOf(source, document, prefix))
      if (items.length > 0) await publishNow(items)
      found ||= items.length > 0
      if (documents.length < BATCH) return found
    }
  }

  return {
    publishSoon(source, sourceId, waiting) {
      if (queue.length >= MAX_QUEUED) return
      for (const [key, { collection: target, document }] of waiting)
        queue.push({ source, sourceId, key, target, document })
      if (queue.length >= BATCH) start()
      else if (queue.length > 0 && !pumping) gather()
    },
    async flush({ name, appendedFrom = [] }, id) {
      const prefix = `${name}:`
      // Of an array, each bound may be met by another element; what is not of this collection is left out later.
      const waits = id === undefined ? { $gt: prefix, $lt: `${name};` } : outboxKey(name, id)
      const found = await Promise.all(appendedFrom.map((source) => publishFrom(source, { '%pending': waits }, prefix)))
      return found.includes(true)
    },
    empty(source, _id) {
      // Whoever finds a full outbox waits for the same round.
      const key = `${source}/${_id}`
      const running =
        emptying.get(key) ??
        publishFrom(source, { _id, '%pending.0': { $exists: true } }, '').finally(() => emptying.delete(key))
      emptying.set(key, running)
      return running
    },
    async settled() {
      while (pumping || queue.length > 0) {
        start()
        await pumping
      }
    }
  }
}

function itemsOf(
  source: string,
  { _id, '%outbox': outbox = {}, '%pending': pending = [] }: StoredDocument,
  prefix: string
): Item[] {
  return pending.flatMap((key) => {
    const waiting = key.startsWith(prefix) ? outbox[key] : undefined
    return waiting ? [{ source, sourceId: _id, key, target: waiting.collection, document: waiting.document }] : []
  })
}
