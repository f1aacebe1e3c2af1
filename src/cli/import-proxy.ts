import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Blobs } from '../blobs/port.ts'
import { type Clock, createSystemClock } from '../clock.ts'
import { type Config, loadConfigFromProcess } from '../config.ts'
import { verifyLedger } from '../credits/verify.ts'
import { AppError } from '../errors.ts'
import { createIds } from '../ids.ts'
import { createDryStore, dryBlobs } from '../import/dry.ts'
import { importProxy } from '../import/import.ts'
import type { ImportReport, Remark } from '../import/report.ts'
import { openSource } from '../import/source.ts'
import { openStore } from '../store/open.ts'
import type { MongoAddress } from '../store/mongo/connect.ts'
import type { Store } from '../store/port.ts'
import { type Command, UsageError } from './command.ts'
import { importRules } from './import-rules.ts'
import { openPlace, readPlace } from './place.ts'

const PROGRESS_MS = 5000
/** Lines of each kind for one collection; a report has all. */
const MAX_LINES = 10

/** The data of the Python proxy that this gateway replaces. */
export const importFromProxy: Command = {
  options: { from: 'mongodb-url', 'dry-run': true, report: 'file' },
  summary: 'brings the data of a Python proxy into this installation; may be repeated; gateways must be stopped',
  async run({ options }) {
    const { place, name } = readPlace('--from', options.from)
    if (!place.mongodb) throw new UsageError('--from is not mongodb://...: the proxy had no other database.')
    const config = loadConfigFromProcess()
    const isDry = options['dry-run'] === true
    process.umask(0o077)
    if (config.mongodb && (await isProxy(config.mongodb)))
      throw new Error('MONGODB_DATABASE_NAME is the database of a proxy. This gateway needs one of its own.')
    const source = await openSource(place.mongodb)
    try {
      if (!(await source.isProxy())) throw new Error(`--from: there is no data of a proxy in ${name}.`)
      const clock = createSystemClock()
      const target = await (isDry ? openDry(config) : openPlace(config, 'serve', clock))
      try {
        say(`From ${name} to ${nameOf(config)}${isDry ? ', without writing anything' : ''}.`)
        const rules = importRules({ config, target: target.store, clock, isDry })
        const outside = {
          source,
          target: target.store,
          blobs: target.blobs,
          now: () => clock.now(),
          newId: createIds().uuid
        }
        const report = await told(importProxy({ ...outside, ...rules }, progress(clock)))
        tell(report, isDry)
        if (typeof options.report === 'string') writeFileSync(options.report, `${JSON.stringify(report, null, 2)}\n`)
        return isDry || (await isLedgerWell(target.store)) ? 0 : 1
      } finally {
        await target.close()
      }
    } finally {
      await source.close()
    }
  }
}

interface Target {
  store: Store
  blobs: Pick<Blobs, 'write'>
  close(): Promise<void>
}

/** What the store throws says nothing about which of the two it was, and what to do. */
async function told<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (cause) {
    if (!(cause instanceof AppError)) throw cause
    throw new Error(`The target failed: ${cause.message} Repeat the command to go on.`, { cause })
  }
}

/** What is not there is not made either. */
async function openDry(config: Config): Promise<Target> {
  const isThere = config.mongodb !== undefined || existsSync(join(config.dataDir, 'gateway.db'))
  const store = createDryStore(isThere ? await openStore(config, { mode: 'inspect' }) : undefined)
  return { store, blobs: dryBlobs, close: () => store.close() }
}

/** Looked at before it is opened, which would make indexes: some names of collections are the same. */
async function isProxy(address: MongoAddress): Promise<boolean> {
  // Whatever is wrong with this database, opening it says so better.
  const database = await openSource(address).catch(() => undefined)
  try {
    return (await database?.isProxy()) ?? false
  } finally {
    await database?.close()
  }
}

function nameOf({ mongodb, dataDir }: Config): string {
  return mongodb ? `MongoDB, database ${mongodb.database}` : `SQLite in ${dataDir}`
}

async function isLedgerWell(store: Store): Promise<boolean> {
  const { accountsChecked, entriesChecked, problems } = await verifyLedger(store)
  say(`ledger: ${accountsChecked} accounts, ${entriesChecked} entries, ${problems.length} problems`)
  return problems.length === 0
}

function tell(report: ImportReport, isDry: boolean): void {
  say(`\n${tableOf(report)}`)
  for (const [title, remarks] of [
    ['skipped', report.skipped],
    ['imported, but', report.notes]
  ] as const)
    for (const [collection = '', ones = []] of Map.groupBy(remarks, (remark) => remark.collection))
      say(`\n${collection}, ${title}:\n${linesOf(ones)}`)
  const imported = report.collections.reduce((sum, counts) => sum + counts.imported, 0)
  if (isDry) say('\nNothing was written: a dry run.')
  else say(imported === 0 ? '\nNothing was new: nothing has been changed.' : `\n${imported} imported.`)
}

function tableOf({ collections }: ImportReport): string {
  const columns = ['read', 'imported', 'unchanged', 'skipped'] as const
  const line = (name: string, values: readonly string[]) =>
    `${name.padEnd(14)}${values.map((value) => value.padStart(11)).join('')}`
  const rows = collections.map((counts) =>
    line(
      counts.name,
      columns.map((column) => String(counts[column]))
    )
  )
  return [line('collection', columns), ...rows].join('\n')
}

function linesOf(remarks: readonly Remark[]): string {
  const lines = remarks.slice(0, MAX_LINES).map(({ id, reason }) => `  ${id}: ${reason}`)
  const rest = remarks.length - lines.length
  return [...lines, ...(rest > 0 ? [`  and ${rest} more; --report <file> lists all`] : [])].join('\n')
}

function progress(clock: Clock) {
  let toldAt = clock.now()
  return (name: string, count: number) => {
    if (clock.now() - toldAt < PROGRESS_MS) return
    toldAt = clock.now()
    say(`${count} of ${name} read so far`)
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
