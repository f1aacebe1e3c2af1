import type { Bus } from '../bus/port.ts'
import type { Clock } from '../clock.ts'
import type { Append, Collection, Document, Store } from './port.ts'

/** How long a row is kept whose change nobody told: what is taken from somebody is gone everywhere within a second. */
const LIFE_MS = 1_000
/** Rows of one collection, those included that are not there. */
const MAX_ROWS = 10_000
const CHANGES = 'changed rows'
/** What every request asks for and hardly anything changes. */
const COLLECTIONS = ['users', 'token_families', 'refresh_tokens', 'revoked_tokens', 'api_keys', 'chatflows', 'grants']

export interface RecentOptions {
  bus: Pick<Bus, 'publish' | 'subscribe' | 'watch'>
  clock: Clock
}

/** The rows of one collection that were read a moment ago. */
interface Memory {
  /** What is kept, or what `get` answers. */
  recent<D extends Document>(id: string, get: Collection<D>['get']): Promise<D | undefined>
  drop(id: string): void
  clear(): void
}

interface Kept {
  /** Undefined while it is read. */
  row: Promise<Document | undefined> | undefined
  readAt: number
}

/**
 * The store, with a memory for what its `recent` answers. Every write of such a row forgets it, here before the write
 * answers and in other processes when they hear of it over the bus; a message that is lost, or a bus of one process only, costs them a second. While
 * the bus is away nothing is remembered (ADR 24).
 */
export function rememberRows(store: Store, { bus, clock }: RecentOptions): Store {
  let isHeard = false
  const memories = new Map(COLLECTIONS.map((name) => [name, createMemory(clock, () => isHeard)]))
  bus.subscribe(CHANGES, (message) => {
    const [name = '', ...id] = message.split('/')
    memories.get(name)?.drop(id.join('/'))
  })
  bus.watch(({ isUp }) => {
    isHeard = isUp
    for (const memory of memories.values()) memory.clear()
  })

  function forget(name: string, id: string, isChanged: boolean): void {
    memories.get(name)?.drop(id)
    if (isChanged && memories.has(name)) bus.publish(CHANGES, `${name}/${id}`)
  }

  function collection<D extends Document>(name: string): Collection<D> {
    const rows = store.collection<D>(name)
    const memory = memories.get(name)
    if (!memory) return rows

    /** After a failure nobody knows what was written, and after a refusal what is kept may be the reason. */
    async function written<T>(id: string, append: Append[] | undefined, write: Promise<T>): Promise<T> {
      let isChanged = true
      try {
        const result = await write
        isChanged = result !== false && result !== undefined
        return result
      } finally {
        forget(name, id, isChanged)
        for (const item of append ?? []) forget(item.collection, item.document.id, isChanged)
      }
    }

    return {
      ...rows,
      recent: (id) => memory.recent(id, rows.get),
      insert: (document, append) => written(document.id, append, rows.insert(document, append)),
      update: (id, guard, change, append) => written(id, append, rows.update(id, guard, change, append)),
      updated: (id, guard, change, append) => written(id, append, rows.updated(id, guard, change, append)),
      remove: (id, guard) => written(id, undefined, rows.remove(id, guard))
    }
  }

  return { ...store, collection }
}

function createMemory(clock: Clock, isOpen: () => boolean): Memory {
  const kept = new Map<string, Kept>()

  return {
    recent<D extends Document>(id: string, get: Collection<D>['get']) {
      const known = kept.get(id)
      const now = clock.now()
      const isFresh = known !== undefined && Math.abs(now - known.readAt) < LIFE_MS
      // Every kept row is one that this collection answered for the id.
      if (isFresh && known.row) return known.row as Promise<D | undefined>
      const row = get(id).then(frozen)
      // Who asks while another reads it reads too: of many who wait for a store that hangs, it must be able to refuse most.
      if (isFresh || !isOpen()) return row
      // Its place is taken while it is read: a write meanwhile takes it away.
      const reading: Kept = { row: undefined, readAt: now }
      if (!known && kept.size >= MAX_ROWS) makeRoom()
      kept.delete(id)
      kept.set(id, reading)
      row.then(
        () => {
          reading.row = row
        },
        () => {
          if (kept.get(id) === reading) kept.delete(id)
        }
      )
      return row
    },
    drop: (id) => void kept.delete(id),
    clear: () => kept.clear()
  }

  /** The first in a map is the one that was read longest ago. */
  function makeRoom(): void {
    const [oldest] = kept.keys()
    if (oldest !== undefined) kept.delete(oldest)
  }
}

/** Rows that several requests share, nobody changes. */
function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const member of Object.values(value)) frozen(member)
  return Object.freeze(value)
}
