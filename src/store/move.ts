import type { CollectionSpec, Document, Store } from './port.ts'

/** The row of `meta` in a target that is not whole yet. */
const ROW = 'move'

/**
 * Rows of `meta` that belong to the place and not to the data in it: its forms, the mark of a move, and the name under
 * which its gateways meet on a Redis, where a copy must not be taken for the original.
 */
export const PLACE_ROWS: readonly string[] = ['schema', 'installation', ROW]

interface MoveRow extends Document {
  value: {
    /** What the source is known by. */
    source: string
    startedAt: number
    /** The collection that was being copied last. */
    collection?: string
  }
}

export interface Move {
  /** When it was begun, and how far it came; undefined for one that begins now. */
  earlier: { startedAt: number; collection: string | undefined } | undefined
  /** Remembers the collection that comes next. */
  reached(collection: string): Promise<void>
  /** The target is whole: gateways may use it. */
  end(): Promise<void>
}

export interface MoveOptions {
  /** What the source is known by. */
  source: string
  specs: CollectionSpec[]
  /** Epoch ms. */
  now: number
  /** Whether there are files beside the target already. */
  hasFiles(): Promise<boolean>
}

/**
 * Marks an empty store as the target of a move, or finds the mark that an unfinished move from the same source has left.
 * Fails with a sentence for the operator when the store holds anything else.
 */
export async function beginMove(target: Store, { source, specs, now, hasFiles }: MoveOptions): Promise<Move> {
  const meta = target.collection<MoveRow>('meta')
  const before = (await meta.get(ROW))?.value
  if (before && before.source !== source)
    throw new Error(
      'The target is that of an unfinished move from another source. Finish that one, or empty the target.'
    )
  if (!before) {
    await refuseUsed(target, specs)
    if (await hasFiles()) throw notEmpty('files')
    await meta.insert({ id: ROW, value: { source, startedAt: now } })
  }
  return {
    earlier: before && { startedAt: before.startedAt, collection: before.collection },
    async reached(collection) {
      await meta.update(ROW, {}, { set: { 'value.collection': collection } })
    },
    async end() {
      await meta.remove(ROW)
    }
  }
}

/** Fails with a sentence for the operator when a move into this store was begun and not finished. Reads only. */
export async function refuseUnfinished(store: Store): Promise<void> {
  if (await store.collection('meta').get(ROW))
    throw new Error('The data here is not whole: a move into this store was not finished. Repeat its command.')
}

async function refuseUsed(target: Store, specs: CollectionSpec[]): Promise<void> {
  for (const { name } of specs) {
    const rows = await target.collection(name).list({ limit: PLACE_ROWS.length + 1 })
    if (rows.some(({ id }) => name !== 'meta' || !PLACE_ROWS.includes(id))) throw notEmpty(`documents in ${name}`)
  }
}

function notEmpty(what: string): Error {
  return new Error(`The target is not empty: it has ${what}. Only an empty store can take a move.`)
}
