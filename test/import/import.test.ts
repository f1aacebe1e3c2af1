import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Db } from 'mongodb'
import t, { type Test } from 'tap'
import type { UserRow } from '../../src/store/collections.ts'
import { openStore } from '../../src/store/open.ts'
import { contentOf } from '../server/moved-data.ts'
import { withMongo } from '../servers/mongodb.ts'
import { checkAsUsers } from './as-users.ts'
import { fillProxy, withDatabase } from './proxy-database.ts'
import { countsIn, newTargets, runImport, startImport, type Target } from './targets.ts'

t.setTimeout(600_000)

const COUNTS = {
  users: [10, 8, 0, 2],
  credits: [5, 5, 0, 0],
  chatflows: [4, 2, 0, 2],
  grants: [8, 3, 0, 5],
  sessions: [8, 3, 0, 5],
  messages: [264, 256, 0, 8],
  files: [6, 2, 0, 4],
  file_uploads: [9, 3, 0, 6]
}
const AGAIN = Object.fromEntries(
  Object.entries(COUNTS).map(([name, [read, imported, , skipped]]) => [name, [read, 0, imported, skipped]])
)

/** Everything in a database, and its indexes. */
async function stateOf(db: Db): Promise<unknown> {
  const names = (await db.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name).toSorted()
  const state = names.map(async (name) => {
    const [documents, indexes] = await Promise.all([
      db.collection(name).find().toArray(),
      db.collection(name).indexes()
    ])
    return { name, documents, indexes }
  })
  return JSON.parse(JSON.stringify(await Promise.all(state)))
}

async function isUntouched({ place }: Target): Promise<boolean> {
  const { mongodb, dataDir } = place
  if (!mongodb) return !existsSync(dataDir)
  return withDatabase(mongodb.url, mongodb.database, async (db) => (await db.listCollections().toArray()).length === 0)
}

async function checkImport(t: Test, from: string, target: Target): Promise<void> {
  const dry = await runImport(t, from, target, ['--dry-run'])
  t.match(dry, 'Nothing was written: a dry run.')
  t.strictSame(countsIn(dry), COUNTS)
  t.ok(await isUntouched(target), 'a dry run makes nothing')

  const file = join(t.testdir(), 'report.json')
  const first = await runImport(t, from, target, ['--report', file])
  t.strictSame(countsIn(first), COUNTS)
  t.match(first, 'ledger: 5 accounts, 3 entries, 0 problems')
  t.notMatch(first, /bcrypt\$|example\.com|\$2[aby]\$/)
  const report = JSON.parse(readFileSync(file, 'utf8'))
  t.equal(report.skipped.length, 32)
  t.equal(report.omitted, 0)

  const before = await contentOf(target.place)
  const second = await runImport(t, from, target)
  t.strictSame(countsIn(second), AGAIN)
  t.match(second, 'Nothing was new: nothing has been changed.')
  t.strictSame(await contentOf(target.place), before)
  t.strictSame(countsIn(await runImport(t, from, target, ['--dry-run'])), AGAIN)
  await t.test('the users have what was theirs', (t) => checkAsUsers(t, target))
}

void withMongo(t, 'a proxy with all its oddities', async (t, mongo) => {
  const { url, database } = mongo
  await withDatabase(url, database, fillProxy)
  const before = await withDatabase(url, database, stateOf)
  const targets = newTargets(t, mongo)
  for (const [kind, target] of Object.entries(targets))
    await t.test(`into ${kind}`, (t) => checkImport(t, `${url}${database}`, target))
  t.strictSame(await withDatabase(url, database, stateOf), before, 'the source is only read')
})

void withMongo(t, 'with services for logins and balances, passwords and credits are theirs', async (t, mongo) => {
  await withDatabase(mongo.url, mongo.database, fillProxy)
  const { SQLite: target } = newTargets(t, mongo)
  const services = { EXTERNAL_AUTH_URL: 'http://127.0.0.1:9', ACCOUNTING_SERVICE_URL: 'http://127.0.0.1:9' }
  const env = { ...target.env, ...services, MAX_FILE_MB: '1' }
  const output = await runImport(t, `${mongo.url}${mongo.database}`, { ...target, env })
  t.match(output, 'the balances are kept by the accounting service')
  t.strictSame(countsIn(output), { ...COUNTS, credits: [5, 0, 0, 5] })
  t.match(output, 'ledger: 0 accounts, 0 entries, 0 problems')
  const store = await openStore(target.place, { mode: 'inspect' })
  const users = await store.collection<UserRow>('users').list({ limit: 100 })
  await store.close()
  t.equal(users.length, 8)
  t.ok(users.every(({ origin, passwordHash }) => origin === 'token' && passwordHash === undefined))
})

void withMongo(t, 'what cannot be imported is refused in one sentence', async (t, mongo) => {
  const { url, database, freshDatabase } = mongo
  const { SQLite, MongoDB } = newTargets(t, mongo)
  await withDatabase(url, database, fillProxy)
  const before = await withDatabase(url, database, stateOf)
  const itself = { ...MongoDB, env: { MONGODB_URL: url, MONGODB_DATABASE_NAME: database } }
  const refused: [from: string, target: Target, sentence: string][] = [
    ['mongodb://user:hidden@127.0.0.1:9/proxy', SQLite, 'The source cannot be read: no MongoDB answers there'],
    ['mongodb://hidden:%@/', SQLite, 'The source cannot be read: its address is no MongoDB connection string'],
    [`${url}${freshDatabase()}`, SQLite, '--from: there is no data of a proxy in MongoDB, database'],
    ['sqlite:hidden', SQLite, '--from is not mongodb://'],
    [`${url}${database}`, itself, 'MONGODB_DATABASE_NAME is the database of a proxy.']
  ]
  for (const [from, target, sentence] of refused) {
    const command = startImport(t, from, target)
    t.equal(await command.exit, 1, from)
    t.ok(command.stderr().startsWith(sentence), command.stderr())
    t.notMatch(command.stderr(), /hidden|\n {4}at /)
    t.equal(command.stdout(), '')
    t.ok(target === itself || (await isUntouched(target)))
  }
  t.strictSame(await withDatabase(url, database, stateOf), before)
})
