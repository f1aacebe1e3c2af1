import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { UserRow } from '../../src/store/collections.ts'
import { openStore, type Place } from '../../src/store/open.ts'
import { until } from '../contract/bus.ts'
import { PASSWORD } from '../helper.ts'
import { type MongoServer, withMongo } from '../servers/mongodb.ts'
import { startProcess } from './gateway-process.ts'
import { contentOf, fillWithData } from './moved-data.ts'

/** A test server that takes writes one by one may take seconds for a queue of them. */
const OPTIONS = '?waitQueueTimeoutMS=60000&socketTimeoutMS=60000'
t.setTimeout(300_000)

interface Named {
  word: string
  place: Place
}

function folder(dataDir: string): Named {
  return { word: `sqlite:${dataDir}`, place: { dataDir } }
}

function database({ url: base, freshDatabase }: MongoServer): Named {
  const name = freshDatabase()
  const url = `${base}${name}${OPTIONS}`
  return { word: url, place: { dataDir: '', mongodb: { url, database: name } } }
}

const migrate = (t: Test, from: Named, to: Named) =>
  startProcess(t, {}, ['src/cli.ts', 'migrate', '--from', from.word, '--to', to.word])

/** The gateway refuses a store that is not whole, and so does everything else that reads it. */
async function refusedByGateway(t: Test, { place }: Named): Promise<void> {
  const { dataDir, mongodb } = place
  const env = mongodb ? { MONGODB_URL: mongodb.url, MONGODB_DATABASE_NAME: mongodb.database } : { DATA_DIR: dataDir }
  for (const command of [['src/server.js'], ['src/cli.ts', 'verify']]) {
    const child = startProcess(t, { PORT: '0', ...env }, command)
    t.equal(await child.exit, 1)
    t.match(child.stderr(), 'a move into this store was not finished')
  }
}

async function changeUsers(
  place: Place,
  change: (users: UserRow[], store: Awaited<ReturnType<typeof openStore>>) => Promise<void>
) {
  const store = await openStore(place, { mode: 'serve' })
  await change(await store.collection<UserRow>('users').list({ limit: 100 }), store)
  await store.close()
}

/** Moves, killed at each of these outputs; between two of them the source goes on living. */
async function moveWithKills(t: Test, from: Named, to: Named, outputs: string[]): Promise<void> {
  for (const [n, text] of outputs.entries()) {
    const killed = migrate(t, from, to)
    await killed.printed(text)
    killed.child.kill('SIGKILL')
    t.equal(await killed.exit, 'SIGKILL')
    if (n === outputs.length - 1) await refusedByGateway(t, to)
    await changeUsers(from.place, async (users, store) => {
      // Two names change hands, a document goes and one comes.
      const [one, other] = users.filter(({ role }) => role === 'user')
      const rows = store.collection<UserRow>('users')
      const keys = [one?.usernameKey ?? '', other?.usernameKey ?? ''] as const
      await rows.update(one?.id ?? '', {}, { set: { usernameKey: `was-${n}` } })
      await rows.update(other?.id ?? '', {}, { set: { usernameKey: keys[0] } })
      await rows.update(one?.id ?? '', {}, { set: { usernameKey: keys[1] } })
      await store.collection('audit_entries').remove(`row ${n}`)
      await store.collection('audit_entries').insert({ id: `new ${n}` })
    })
  }
  const whole = migrate(t, from, to)
  t.equal(await whole.exit, 0, whole.stderr())
  t.match(whole.stdout(), /Goes on with the move of .*, which came to /)
  t.match(whole.stdout(), /^collection +source +target$/m)
  t.match(whole.stdout(), /^users +4 +4$/m)
  t.match(
    whole.stdout(),
    /ledger of the source: 3 accounts, (\d+) entries, 0 problems\nledger of the target: 3 accounts, \1 entries, 0 problems/
  )
  const [before, after] = [await contentOf(from.place), await contentOf(to.place)]
  t.ok((before.audit_entries ?? []).length > 300)
  t.equal(before.files?.length, 4)
  t.match(whole.stdout(), /^bytes of files +4 +4$/m)
  for (const name of Object.keys(before)) t.strictSame(after[name], before[name], name)
}

void withMongo(t, 'from SQLite to MongoDB and back, killed again and again', async (t, mongo) => {
  const folders = t.testdir()
  const first = folder(join(folders, 'first'))
  await fillWithData(t, first.place)
  const middle = database(mongo)
  await moveWithKills(t, first, middle, [
    'From ',
    ' of users',
    ' of messages',
    ' of ledger_entries',
    ' of files',
    'compared '
  ])
  const last = folder(join(folders, 'last'))
  await moveWithKills(t, middle, last, [' of sessions', 'compared '])

  await t.test('a gateway goes on with it: logins, money, and the holds that were open', async (t) => {
    const gateway = startProcess(t, { PORT: '0', DATA_DIR: last.place.dataDir })
    const url = await gateway.listening
    const reply = await fetch(`${url}/api/v1/chat/authenticate`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username: 'ada', password: PASSWORD })
    })
    t.equal(reply.status, 200)
    const { access_token = '' }: { access_token?: string } = JSON.parse(await reply.text())
    const account = async (): Promise<{ credits_held: number; credits_remaining: number }> => {
      const answer = await fetch(`${url}/api/v1/chat/credits`, { headers: { authorization: `Bearer ${access_token}` } })
      return JSON.parse(await answer.text())
    }
    await until(async () => (await account()).credits_held === 0)
    t.equal((await account()).credits_remaining, 102.5, '107 given, 4 spent, and what the dead run had used')
    gateway.child.kill('SIGTERM')
    t.equal(await gateway.exit, 0)
  })
})

void withMongo(t, 'from MongoDB to MongoDB; a gateway that writes meanwhile is noticed', async (t, mongo) => {
  const from = database(mongo)
  const to = database(mongo)
  await fillWithData(t, from.place)
  const disturbed = migrate(t, from, to)
  await disturbed.printed(' of users')
  disturbed.child.kill('SIGSTOP')
  await changeUsers(from.place, async ([user], store) => {
    t.ok(await store.collection('users').update(user?.id ?? '', {}, { set: { updatedAt: 1 } }))
  })
  disturbed.child.kill('SIGCONT')
  t.equal(await disturbed.exit, 1)
  t.match(disturbed.stdout(), 'All gateways on the source must be stopped')
  t.match(disturbed.stderr(), 'The source was written to during the copy (users). Stop every gateway')
  await refusedByGateway(t, to)

  const quiet = migrate(t, from, to)
  t.equal(await quiet.exit, 0, quiet.stderr())
  t.strictSame(await contentOf(to.place), await contentOf(from.place))

  const again = migrate(t, from, to)
  t.equal(await again.exit, 1)
  t.match(again.stderr(), 'The target is not empty: it has documents in ')
})
