import { isDeepStrictEqual } from 'node:util'
import { AppError } from '../errors.ts'
import { PLACE_ROWS } from './move.ts'
import type { Change, Collection, CollectionSpec, Document, Store } from './port.ts'

/** Documents are a kilobyte or a megabyte: pages grow and shrink towards this size. */
const PAGE_BYTES = 4 * 1024 * 1024
const MIN_PAGE = 10
const MAX_PAGE = 400
/** Writes under way at once: they share transactions of SQLite and flushes of MongoDB. */
const WRITES = 32

type Row = Document & Record<string, unknown>

export interface CopyOptions {
  source: Store
  target: Store
  specs: CollectionSpec[]
  /** Told before each collection. */
  onCollection(name: string): Promise<void>
  /** Told now and then, and at the end of each collection, how many documents of the source have been dealt with. */
  onProgress(name: string, documents: number, isDone: boolean): void
}

export interface CollectionCopy {
  name: string
  /** Documents in the source, and in the target at the end. */
  sourceCount: number
  targetCount: number
  /** Documents of the target that were made, changed or removed. */
  changes: number
  /** Documents that the target did not take, because a unique key of theirs is another's there. */
  refused: number
}

/**
 * Goes through both stores side by side, in the order of ids, and makes the target what the source is: what is missing is
 * inserted, what differs is changed, what is gone is removed. So a copy that was interrupted anywhere is repeated from the
 * start and only completes, whatever has happened at the source meanwhile; and one without changes proves that both are
 * alike. @throws Error with a sentence for the operator that says which side failed
 */
export async function copyStore(options: CopyOptions): Promise<CollectionCopy[]> {
  const copies: CollectionCopy[] = []
  for (const spec of options.specs) {
    await onSide('target', options.onCollection(spec.name))
    copies.push(await copyCollection(spec, options))
  }
  return copies
}

async function copyCollection(
  { name, unique = [] }: CollectionSpec,
  { source, target, onProgress }: CopyOptions
): Promise<CollectionCopy> {
  const into = target.collection<Row>(name)
  const copy: CollectionCopy = { name, sourceCount: 0, targetCount: 0, changes: 0, refused: 0 }
  const theirs = cursorOf(rowsOf(into, name, 'target'))
  const writes = createWrites(target, copy)

  /** What wants the unique key of another gives up its own first, so that all keys are free in the next round. */
  async function update(id: string, change: Change): Promise<boolean> {
    const isTaken = await into.update(id, {}, change)
    if (!isTaken && unique.length > 0) await into.update(id, {}, { unset: unique.flat() })
    return isTaken
  }

  await theirs.next()
  for await (const row of rowsOf(source.collection<Row>(name), name, 'source')) {
    while (theirs.row && isBefore(theirs.row.id, row.id)) {
      await writes.add(into.remove(theirs.row.id), theirs.row)
      await theirs.next()
    }
    if (theirs.row?.id === row.id) {
      const change = changeOf(theirs.row, row)
      copy.targetCount++
      if (change) await writes.add(update(row.id, change), row)
      await theirs.next()
    } else {
      const made = into.insert(row).then((isNew) => {
        if (isNew) copy.targetCount++
        return isNew
      })
      await writes.add(made, row)
    }
    if (++copy.sourceCount % MAX_PAGE === 0) onProgress(name, copy.sourceCount, false)
  }
  for (; theirs.row; await theirs.next()) await writes.add(into.remove(theirs.row.id), theirs.row)
  await writes.settle()
  onProgress(name, copy.sourceCount, true)
  return copy
}

/** Writes into one collection, a few at once, counted as changes or as refused. */
function createWrites(target: Store, copy: CollectionCopy) {
  let underWay: Promise<void>[] = []

  async function count(made: Promise<boolean>, { id, ...members }: Row): Promise<void> {
    try {
      if (await made) copy.changes++
      else copy.refused++
    } catch (cause) {
      // The failure is that of the store, or if it is well, that of this document.
      await onSide('target', target.ping())
      const bytes = JSON.stringify(members).length
      throw new Error(`The target did not take ${id} of ${copy.name} (${bytes} bytes): ${reasonOf(cause)}.`, { cause })
    }
  }

  /** All of them, so that none is under way when the first failure is told. */
  async function settle(): Promise<void> {
    const ended = await Promise.allSettled(underWay)
    underWay = []
    for (const end of ended) if (end.status === 'rejected') throw end.reason
  }

  return {
    settle,
    async add(made: Promise<boolean>, row: Row): Promise<void> {
      const ended = count(made, row)
      // Told when all are awaited.
      ended.catch(() => {})
      underWay.push(ended)
      if (underWay.length >= WRITES) await settle()
    }
  }
}

/** All documents in the order of their ids, in pages of a bounded size. */
async function* rowsOf(rows: Collection<Row>, name: string, side: Side): AsyncGenerator<Row> {
  let after: { value: null; id: string } | undefined
  for (let limit = MIN_PAGE; ; ) {
    const page = await onSide(side, rows.list({ ...(after && { after }), limit }))
    yield* name === 'meta' ? page.filter(({ id }) => !PLACE_ROWS.includes(id)) : page
    const last = page.at(-1)
    if (!last || page.length < limit) return
    after = { value: null, id: last.id }
    const fitting = Math.floor((limit * PAGE_BYTES) / JSON.stringify(page).length)
    limit = Math.max(1, Math.min(fitting, 2 * limit, MAX_PAGE))
  }
}

function cursorOf(rows: AsyncGenerator<Row>) {
  const cursor = {
    row: undefined as Row | undefined,
    async next(): Promise<void> {
      const { value, done } = await rows.next()
      cursor.row = done === true ? undefined : value
    }
  }
  return cursor
}

/** Both stores order ids by their UTF-8 bytes; JavaScript would by UTF-16 units. */
function isBefore(one: string, other: string): boolean {
  return one !== other && Buffer.compare(Buffer.from(one), Buffer.from(other)) < 0
}

/** What makes the first document the second; undefined if they are alike. */
function changeOf(from: Row, to: Row): Change | undefined {
  const differing = Object.entries(to).filter(([member, value]) => !isAlike(from[member], value))
  const unset = Object.keys(from).filter((member) => !(member in to))
  if (differing.length === 0 && unset.length === 0) return undefined
  return { set: Object.fromEntries(differing), unset }
}

/** As JSON sees it, which is what the port promises to keep: it knows no negative zero. */
function isAlike(one: unknown, other: unknown): boolean {
  if (isDeepStrictEqual(one, other)) return true
  if (one === undefined || other === undefined) return false
  return isDeepStrictEqual(JSON.parse(JSON.stringify(one)), JSON.parse(JSON.stringify(other)))
}

type Side = 'source' | 'target'

async function onSide<T>(side: Side, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (cause) {
    throw new Error(`The ${side} failed: ${reasonOf(cause)}. Repeat the command to go on.`, { cause })
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error instanceof AppError && error.cause instanceof Error
    ? error.cause.message
    : error.message.replace(/\.$/, '')
}
