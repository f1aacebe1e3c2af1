import { copyBlobs } from '../blobs/copy.ts'
import { installationId } from '../bus/installation.ts'
import { type Clock, createSystemClock, isoInstant } from '../clock.ts'
import { verifyLedger } from '../credits/verify.ts'
import { createIds } from '../ids.ts'
import { collections } from '../store/collections.ts'
import { type CollectionCopy, copyStore } from '../store/copy.ts'
import { beginMove } from '../store/move.ts'
import { type Command, UsageError } from './command.ts'
import { isSame, type Named, type OpenedPlace, openSource, openTarget, readPlace } from './place.ts'

/** What the bytes of files are called among the collections. */
const FILES = 'bytes of files'
/** Of a collection that takes long. */
const PROGRESS_MS = 5000

/** All data of an installation, from one store into another that is empty. */
export const migrate: Command = {
  options: { from: 'store', to: 'store' },
  summary: 'copies all data between stores: sqlite:<folder> or mongodb://<host>/<database>; gateways must be stopped',
  async run({ options }) {
    const from = readPlace('--from', options.from)
    const to = readPlace('--to', options.to)
    if (isSame(from.place, to.place)) throw new UsageError('--from and --to are the same store.')
    process.umask(0o077)
    const clock = createSystemClock()
    const source = await openSource(from, clock)
    try {
      const target = await openTarget(to, clock)
      try {
        say(`From ${from.name} to ${to.name}.`)
        await move(source, target, clock)
        const isWell = await verifyBoth(source, target)
        say(`\n${nextSteps(from, to)}`)
        return isWell ? 0 : 1
      } finally {
        await target.close()
      }
    } finally {
      await source.close()
    }
  }
}

/** Copies, and then goes through both once more: what that finds was written meanwhile by somebody else. */
async function move(source: OpenedPlace, target: OpenedPlace, clock: Clock): Promise<void> {
  const identity = await installationId(source.store, createIds())
  const hasFiles = async () => (await target.blobs.list({ limit: 1 })).length > 0
  const marked = await beginMove(target.store, { source: identity, specs: collections, now: clock.now(), hasFiles })
  if (marked.earlier) {
    const { startedAt, collection = 'the beginning' } = marked.earlier
    say(`Goes on with the move of ${isoInstant(startedAt)}, which came to ${collection}.`)
  }
  if (source.store.kind === 'mongodb') say('All gateways on the source must be stopped: they cannot be seen from here.')
  const reached = (name: string) => marked.reached(name)
  const copied = await copyAll(source, target, { reached, onProgress: progress('copied', clock) })
  const again = { reached: async () => {}, onProgress: progress('compared', clock) }
  let compared = await copyAll(source, target, again)
  // What stood in the way of a unique key has been put right by now.
  if (sumOf(copied, 'refused') > 0 && !isAlike(compared)) compared = await copyAll(source, target, again)
  say(`\n${tableOf(compared)}`)
  if (!isAlike(compared)) throw new Error(unlike(compared))
  await marked.end()
}

interface CopyAllOptions {
  reached(name: string): Promise<void>
  onProgress(name: string, count: number, isDone: boolean): void
}

/** Documents, and then files, which count as one collection more. */
async function copyAll(source: OpenedPlace, target: OpenedPlace, { reached, onProgress }: CopyAllOptions) {
  const stores = { source: source.store, target: target.store }
  const documents = await copyStore({ ...stores, specs: collections, onCollection: reached, onProgress })
  await reached(FILES)
  const files = await copyBlobs(source.blobs, target.blobs, (count) => onProgress(FILES, count, false))
  onProgress(FILES, files.sourceCount, true)
  return [...documents, { name: FILES, refused: 0, ...files }]
}

function isAlike(copies: CollectionCopy[]): boolean {
  return sumOf(copies, 'changes') + sumOf(copies, 'refused') === 0
}

function unlike(copies: CollectionCopy[]): string {
  const failed = copies.filter((copy) => copy.refused > 0).map((copy) => `${copy.refused} of ${copy.name}`)
  if (failed.length > 0)
    return `The target does not take ${failed.join(', ')}: their ids or unique keys are taken there. Empty it and repeat the command.`
  const changed = copies.filter(({ changes }) => changes > 0).map(({ name }) => name)
  return `The source was written to during the copy (${changed.join(', ')}). Stop every gateway that uses it and repeat the command.`
}

async function verifyBoth(source: OpenedPlace, target: OpenedPlace): Promise<boolean> {
  let isWell = true
  for (const [side, { store }] of Object.entries({ source, target })) {
    const { accountsChecked, entriesChecked, problems } = await verifyLedger(store)
    say(`ledger of the ${side}: ${accountsChecked} accounts, ${entriesChecked} entries, ${problems.length} problems`)
    isWell &&= problems.length === 0
  }
  if (!isWell) say('Both ledgers are alike, with their problems: npm run verify names them.')
  return isWell
}

function nextSteps(from: Named, to: Named): string {
  const lines = to.place.mongodb
    ? [`Next: set MONGODB_URL to the URL of --to and MONGODB_DATABASE_NAME=${to.place.mongodb.database}.`]
    : [`Next: unset MONGODB_URL and set DATA_DIR=${to.place.dataDir}.`]
  if (from.place.mongodb === undefined || to.place.mongodb === undefined)
    lines.push(
      'The secret that signs tokens is no part of this: set JWT_SECRET_KEY, or take the file jwt-secret of DATA_DIR along.'
    )
  return [...lines, 'Start no gateway on the source any more: the two would go apart.'].join('\n')
}

function progress(verb: string, clock: Clock) {
  let toldAt = clock.now()
  return (name: string, documents: number, isDone: boolean) => {
    if (!isDone && clock.now() - toldAt < PROGRESS_MS) return
    toldAt = clock.now()
    say(`${verb} ${documents} of ${name}${isDone ? '' : ' so far'}`)
  }
}

function tableOf(copies: CollectionCopy[]): string {
  const rows = copies.map(({ name, sourceCount, targetCount }) => [name, String(sourceCount), String(targetCount)])
  const line = ([name = '', source = '', target = '']: string[]) =>
    `${name.padEnd(20)}${source.padStart(10)}${target.padStart(10)}`
  return [['collection', 'source', 'target'], ...rows].map(line).join('\n')
}

function sumOf(copies: CollectionCopy[], member: 'changes' | 'refused'): number {
  return copies.reduce((sum, copy) => sum + copy[member], 0)
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
