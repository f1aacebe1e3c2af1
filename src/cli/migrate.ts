import { installationId } from '../bus/installation.ts'
import { type Clock, createSystemClock, isoInstant } from '../clock.ts'
import { verifyLedger } from '../credits/verify.ts'
import { createIds } from '../ids.ts'
import { collections } from '../store/collections.ts'
import { type CollectionCopy, copyStore } from '../store/copy.ts'
import { beginMove } from '../store/move.ts'
import type { OpenedStore } from '../store/open.ts'
import type { Store } from '../store/port.ts'
import { type Command, UsageError } from './command.ts'
import { isSame, type Named, openPlace, readPlace } from './place.ts'

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
    const source = await openSource(from)
    try {
      const target = await openPlace(to, 'fill')
      try {
        say(`From ${from.name} to ${to.name}.`)
        await move(source, target, createSystemClock())
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

/** Looked at first, because serving would make what is not there. */
async function openSource(named: Named): Promise<OpenedStore> {
  const seen = await openPlace(named, 'inspect')
  const forms = await seen.collection('meta').get('schema')
  await seen.close()
  if (!forms) throw new Error(`--from: there is no gateway data in ${named.name}.`)
  return openPlace(named, 'serve')
}

/** Copies, and then goes through both once more: what that finds was written meanwhile by somebody else. */
async function move(source: Store, target: Store, clock: Clock): Promise<void> {
  const identity = await installationId(source, createIds())
  const marked = await beginMove(target, { source: identity, specs: collections, now: clock.now() })
  if (marked.earlier) {
    const { startedAt, collection = 'the beginning' } = marked.earlier
    say(`Goes on with the move of ${isoInstant(startedAt)}, which came to ${collection}.`)
  }
  if (source.kind === 'mongodb') say('All gateways on the source must be stopped: they cannot be seen from here.')
  const pass = (verb: string, onCollection: (name: string) => Promise<void>) =>
    copyStore({ source, target, specs: collections, onCollection, onProgress: progress(verb, clock) })
  const copied = await pass('copied', (name) => marked.reached(name))
  const again = async () => {}
  let compared = await pass('compared', again)
  // What stood in the way of a unique key has been put right by now.
  if (sumOf(copied, 'refused') > 0 && !isAlike(compared)) compared = await pass('compared', again)
  say(`\n${tableOf(compared)}`)
  if (!isAlike(compared)) throw new Error(unlike(compared))
  await marked.end()
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

async function verifyBoth(source: Store, target: Store): Promise<boolean> {
  let isWell = true
  for (const [side, store] of Object.entries({ source, target })) {
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
