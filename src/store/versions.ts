import { type Clock, pause } from '../clock.ts'
import type { Change, CollectionSpec, Document, Guard, Store } from './port.ts'

/** The row of `meta` that says in which form each collection is. */
const ROW = 'schema'
/** Of a collection that no migration has touched. */
const FIRST = 1
const PAGE = 200
/** A migrating process that is silent for so long is dead. */
const LEASE_MS = 60_000
const LOOK_AGAIN_MS = 500
/** Longer than any migration should take while others wait for it. */
const PATIENCE_MS = 1_800_000

/** One step forward of one collection: from version `to - 1` to `to`, document by document. */
export interface Migration {
  collection: string
  to: number
  /** The change of one document; undefined if it is in the new form already. After a crash it is asked again. */
  change(document: Document & Record<string, unknown>): Change | undefined
}

interface SchemaRow extends Document {
  /** Version by collection; absent: the first. */
  value: Record<string, number>
  leaseUntil: number
  owner: string
}

export interface MigrateOptions {
  specs: CollectionSpec[]
  migrations: Migration[]
  clock: Clock
  /** Of this process, new at each start. */
  owner: string
}

/** Fails with a sentence for the operator when a newer gateway has written this store. Reads only. */
export async function refuseNewer(store: Store, specs: CollectionSpec[]): Promise<void> {
  const row = await store.collection<SchemaRow>('meta').get(ROW)
  const known = new Map(specs.map(({ name, version = FIRST }) => [name, version]))
  for (const [name, version] of Object.entries(row?.value ?? {})) {
    const ours = known.get(name)
    if (ours !== undefined && version <= ours) continue
    throw new Error(
      `The data was written by a newer gateway (${name} has form ${version}, this one knows ${ours ?? 'none'}). Install that version or restore a backup.`
    )
  }
}

/**
 * Brings every collection into the form of this version, each step once: one process migrates, others wait until it is done,
 * and take over when it dies. What a crash interrupted is repeated from the start of its step.
 */
export async function migrate(store: Store, options: MigrateOptions): Promise<void> {
  const { specs, migrations, clock, owner } = options
  const meta = store.collection<SchemaRow>('meta')
  const patience = clock.now() + PATIENCE_MS
  for (;;) {
    await refuseNewer(store, specs)
    const row = await meta.get(ROW)
    if (!row) {
      await meta.insert({ id: ROW, value: {}, leaseUntil: 0, owner })
      continue
    }
    const next = migrations
      .toSorted((one, other) => one.to - other.to)
      .find(({ collection, to }) => (row.value[collection] ?? FIRST) < to)
    if (!next) return
    if (clock.now() > patience) throw new Error('Another process is migrating the data and does not come to an end.')
    const leaseUntil = clock.now() + LEASE_MS
    const isFree = { lt: { leaseUntil: clock.now() }, ...stillAt(next.collection, row.value[next.collection]) }
    const isOurs = await meta.update(ROW, isFree, { set: { owner, leaseUntil } })
    if (isOurs) await takeStep(store, next, { ...options, leaseUntil })
    else await pause(clock, LOOK_AGAIN_MS)
  }
}

/** Since the row was read, another process may have taken the step and given its lease back. */
function stillAt(collection: string, version: number | undefined): Guard {
  const path = `value.${collection}`
  return version === undefined ? { exists: { [path]: false } } : { equal: { [path]: version } }
}

async function takeStep(
  store: Store,
  { collection, to, change }: Migration,
  options: MigrateOptions & { leaseUntil: number }
): Promise<void> {
  const { clock, owner } = options
  const meta = store.collection<SchemaRow>('meta')
  const rows = store.collection<Document & Record<string, unknown>>(collection)
  const mine = { equal: { owner } }
  let last: string | undefined
  let { leaseUntil } = options
  for (;;) {
    const page = await rows.list({ ...(last === undefined ? {} : { after: { value: null, id: last } }), limit: PAGE })
    for (const row of page) {
      // A process that stood still must not put old values over those of whoever went on without it.
      if (clock.now() >= leaseUntil) return
      const made = change(row)
      if (made) await rows.update(row.id, {}, made)
    }
    if (page.length < PAGE) break
    last = page.at(-1)?.id
    leaseUntil = clock.now() + LEASE_MS
    const isOurs = await meta.update(ROW, mine, { set: { leaseUntil } })
    // Somebody took us for dead: the step is theirs now.
    if (!isOurs) return
  }
  await meta.update(ROW, mine, { set: { [`value.${collection}`]: to, leaseUntil: 0 } })
}
