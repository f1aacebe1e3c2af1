import type { Bus } from '../bus/port.ts'
import type { Clock } from '../clock.ts'
import { createLooks, type Look, type Looks } from './looks.ts'
import type { Append, Collection, Document, Store } from './port.ts'

/** How long a row is used whose change nobody told: what is taken from somebody is gone everywhere within a second. */
const LIFE_MS = 1_000
/** How long it is kept if it is found unchanged meanwhile: what is written past the port shows after that. */
const LONG_LIFE_MS = 60_000
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
  /** When it was read, or found to be unchanged. */
  seenAt: number
  /** The count of its changes before it was read; undefined where that says nothing of it. */
  count: number | undefined
}

interface MemoryOptions {
  clock: Clock
  looks: Looks
  /** Whether others can tell of changes. */
  isOpen: () => boolean
}

/**
 * The store, with a memory for what its `recent` answers. Every write of such a row forgets it, here before the write
 * answers and in other processes when they hear of it over the bus; a message that is lost, or a bus of one process only, costs them a second: what is
 * older is read again, or looked at among the store's marks. While the bus is away nothing is remembered (ADR 24).
 */
export function rememberRows(store: Store, { bus, clock }: RecentOptions): Store {
  let isHeard = false
  const looks = createLooks(store.marks, clock)
  const memories = new Map(
    COLLECTIONS.map((name) => [name, createMemory(name, { clock, looks, isOpen: () => isHeard })])
  )
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

function createMemory(name: string, { clock, looks, isOpen }: MemoryOptions): Memory {
  const kept = new Map<string, Kept>()

  function read<D extends Document>(id: string, get: Collection<D>['get']): Promise<D | undefined> {
    const known = kept.get(id)
    const now = clock.now()
    const isBeingRead = known !== undefined && known.row === undefined && Math.abs(now - known.readAt) < LIFE_MS
    const count = looks.last()?.countOf(name, id)
    const row = get(id).then(frozen)
    // Who asks while another reads it reads too: of many who wait for a store that hangs, it must be able to refuse most.
    if (isBeingRead || !isOpen()) return row
    // Its place is taken while it is read: a write meanwhile takes it away.
    const reading: Kept = { row: undefined, readAt: now, seenAt: now, count: undefined }
    if (!known && kept.size >= MAX_ROWS) makeRoom()
    kept.delete(id)
    kept.set(id, reading)
    row.then(
      (found) => {
        reading.row = row
        // That a row appears is counted nowhere.
        if (found !== undefined) reading.count = count
      },
      () => {
        if (kept.get(id) === reading) kept.delete(id)
      }
    )
    return row
  }

  /** Whether a row that is still kept has not changed up to this look. */
  function isConfirmed(id: string, known: Kept, look: Look | undefined): boolean {
    if (look === undefined || kept.get(id) !== known || look.countOf(name, id) !== known.count) return false
    known.seenAt = look.beganAt
    return true
  }

  return {
    recent<D extends Document>(id: string, get: Collection<D>['get']) {
      looks.keepUp()
      const known = kept.get(id)
      // Every kept row is one that this collection answered for the id.
      const row = known?.row as Promise<D | undefined> | undefined
      if (known === undefined || row === undefined) return read(id, get)
      const now = clock.now()
      if (Math.abs(now - known.seenAt) < LIFE_MS) return row
      if (known.count === undefined || Math.abs(now - known.readAt) >= LONG_LIFE_MS) return read(id, get)
      const look = looks.recent(LIFE_MS)
      if (look instanceof Promise) return look.then((seen) => (isConfirmed(id, known, seen) ? row : read(id, get)))
      return isConfirmed(id, known, look) ? row : read(id, get)
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
