import { type Clock, isoInstant } from '../clock.ts'
import { AppError } from '../errors.ts'
import { pagesOf } from '../store/collect.ts'
import type { ChatflowRow, MetaRow } from '../store/collections.ts'
import type { Store } from '../store/port.ts'
import { type Listed, readListed } from './listing.ts'

const PAGE = 500
const LAST_SYNC = 'chatflow_sync'

/** What a sync did; the members are those of the API. */
export interface SyncReport {
  total_fetched: number
  created: number
  updated: number
  deleted: number
  errors: number
  error_details: { chatflow_id?: string; error: string }[]
  sync_timestamp: string
  message: string
}

export interface SyncOptions {
  store: Store
  flowise: { listChatflows(): Promise<unknown[]> }
  clock: Clock
  /** Gives up waiting for a list when it aborts; a catalogue that is being written is written to the end. */
  signal: AbortSignal
}

export interface Sync {
  /**
   * Makes the catalogue what Flowise lists; nothing is changed unless all of the list could be read.
   *
   * Runs never overlap. Who calls while one is under way shares the next one instead of joining the current: the list
   * it would join was read before the call, and may lack what the caller has just changed in Flowise.
   * @throws upstream_error, sync_empty (the list is empty and `confirm` is false)
   */
  run(options: { confirm: boolean }): Promise<SyncReport>
  /** When the last sync succeeded, epoch ms; undefined before the first. */
  lastSyncAt(): Promise<number | undefined>
}

/** The sync of the catalogue with Flowise. */
export function createSync({ store, flowise, clock, signal }: SyncOptions): Sync {
  const chatflows = store.collection<ChatflowRow>('chatflows')
  const meta = store.collection<MetaRow>('meta')
  const waiting = new Map<boolean, Promise<SyncReport>>()
  let current: Promise<unknown> = Promise.resolve()

  async function runOnce(confirm: boolean): Promise<SyncReport> {
    const listed = await list()
    const known = await allKnown()
    const isEmpty = listed.length === 0
    if (isEmpty && !confirm && [...known.values()].some((row) => row.status !== 'deleted'))
      throw new AppError('sync_empty')
    const report = await apply(listed, known)
    await remember(clock.now())
    return report
  }

  async function list(): Promise<unknown[]> {
    try {
      const rows: unknown = await unlessAborted(flowise.listChatflows(), signal)
      if (Array.isArray(rows)) return rows
    } catch (cause) {
      throw new AppError('upstream_error', {}, { cause })
    }
    throw new AppError('upstream_error', {}, { cause: new Error('The list of chatflows is not an array') })
  }

  async function apply(rows: unknown[], known: Map<string, ChatflowRow>): Promise<SyncReport> {
    const now = clock.now()
    const readable = new Map<string, Listed>()
    const broken: { id: string | undefined; error: string }[] = []
    for (const row of rows) {
      const reading = readListed(row)
      if ('error' in reading) broken.push(reading)
      else readable.set(reading.listed.id, reading.listed)
    }
    // A list in which nothing can be read is no list of chatflows, whatever its status was.
    if (rows.length > 0 && readable.size === 0 && broken.every(({ id }) => id === undefined))
      throw new AppError('upstream_error', {}, { cause: new Error('No row of the list of chatflows is readable') })

    await Promise.all([...readable.values()].map((listed) => put(listed, known.get(listed.id), now)))
    await Promise.all(broken.map(({ id, error }) => mark(id === undefined ? undefined : known.get(id), error, now)))
    const deleted = await deleteMissing(known, new Set([...readable.keys(), ...broken.map(({ id }) => id)]), now)

    const updated = [...readable.keys()].filter((id) => known.has(id)).length
    const counts = { created: readable.size - updated, updated, deleted, errors: broken.length }
    return {
      total_fetched: rows.length,
      ...counts,
      error_details: broken.map(({ id, error }) => ({ ...(id === undefined ? {} : { chatflow_id: id }), error })),
      sync_timestamp: isoInstant(now),
      message: sentence(counts)
    }
  }

  /** A chatflow that was deleted and comes back is active again; grants and settings were never touched. */
  async function put(listed: Listed, before: ChatflowRow | undefined, now: number): Promise<void> {
    const { id, createdAt, updatedAt, ...members } = listed
    const seen = { ...members, status: 'active' as const, syncError: null, syncedAt: now }
    const dates = { ...(createdAt ? { createdAt } : {}), ...(updatedAt ? { updatedAt } : {}) }
    const isNew =
      before === undefined && (await chatflows.insert({ id, createdAt: now, updatedAt: now, ...seen, ...dates }))
    if (!isNew) await chatflows.update(id, {}, { set: { ...seen, ...dates } })
  }

  /** A known chatflow that cannot be read keeps what was known of it. */
  async function mark(row: ChatflowRow | undefined, error: string, now: number): Promise<void> {
    if (row === undefined || row.status === 'deleted') return
    await chatflows.update(row.id, {}, { set: { status: 'error', syncError: error, syncedAt: now } })
  }

  /** While a row has no readable id, nobody knows which chatflow it is: then none counts as missing. */
  async function deleteMissing(known: Map<string, ChatflowRow>, seen: Set<string | undefined>, now: number) {
    if (seen.has(undefined)) return 0
    const missing = [...known.values()].filter((row) => row.status !== 'deleted' && !seen.has(row.id))
    const change = { set: { status: 'deleted', syncError: null, syncedAt: now } }
    await Promise.all(missing.map(({ id }) => chatflows.update(id, {}, change)))
    return missing.length
  }

  async function allKnown(): Promise<Map<string, ChatflowRow>> {
    const known = new Map<string, ChatflowRow>()
    for await (const page of pagesOf(chatflows, { limit: PAGE })) for (const row of page) known.set(row.id, row)
    return known
  }

  async function remember(at: number): Promise<void> {
    const isFirst = await meta.insert({ id: LAST_SYNC, value: at })
    if (!isFirst) await meta.update(LAST_SYNC, {}, { set: { value: at } })
  }

  return {
    run({ confirm }) {
      const shared = waiting.get(confirm)
      if (shared) return shared
      const next = current.then(() => {
        waiting.delete(confirm)
        return runOnce(confirm)
      })
      waiting.set(confirm, next)
      // The queue goes on whatever became of this run; its caller is told of the failure.
      current = next.catch(() => {})
      return next
    },

    async lastSyncAt() {
      const value = (await meta.get(LAST_SYNC))?.value
      return typeof value === 'number' ? value : undefined
    }
  }
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(signal.reason)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function sentence(counts: { created: number; updated: number; deleted: number; errors: number }): string {
  const { created, updated, deleted, errors } = counts
  return `${created} created, ${updated} updated, ${deleted} deleted, ${errors} not readable.`
}
