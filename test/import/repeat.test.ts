import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { openStore } from '../../src/store/open.ts'
import { until } from '../contract/bus.ts'
import { PASSWORD } from '../helper.ts'
import { withMongo } from '../servers/mongodb.ts'
import { checkAsUsers, reader, tokenOf } from './as-users.ts'
import { EXTERNAL, fillProxy, withDatabase } from './proxy-database.ts'
import { countsIn, gatewayOver, newTargets, runImport, startImport, type Target } from './targets.ts'

t.setTimeout(600_000)

/** Resolves when the target has documents in this collection. */
async function hasAny({ place }: Target, collection: string): Promise<boolean> {
  const store = await openStore(place, { mode: 'inspect' }).catch(() => undefined)
  try {
    return (await store?.collection(collection).list({ limit: 1 }))?.length === 1
  } catch {
    return false
  } finally {
    await store?.close()
  }
}

/** Kills an import as soon as it has written into this collection; false if it was faster. */
async function killAt(t: Test, from: string, target: Target, collection: string): Promise<boolean> {
  const command = startImport(t, from, target)
  let exit: number | string | null | undefined
  void command.exit.then((code) => {
    exit = code
  })
  await until(async () => exit !== undefined || (await hasAny(target, collection)))
  command.child.kill('SIGKILL')
  const end = await command.exit
  t.ok(end === 'SIGKILL' || end === 0, command.stderr())
  return end === 'SIGKILL'
}

void withMongo(t, 'an import that is killed again and again is completed by the next', async (t, mongo) => {
  const from = `${mongo.url}${mongo.database}`
  await withDatabase(mongo.url, mongo.database, fillProxy)
  for (const [kind, target] of Object.entries(newTargets(t, mongo))) {
    await t.test(kind, async (t) => {
      const killed: boolean[] = []
      for (const collection of ['users', 'sessions', 'files']) killed.push(await killAt(t, from, target, collection))
      t.ok(killed.filter(Boolean).length >= 2, `killed ${killed.join(', ')}`)
      t.match(await runImport(t, from, target), 'ledger: 5 accounts, 3 entries, 0 problems')
      const { messages, files } = countsIn(await runImport(t, from, target))
      t.strictSame({ messages, files }, { messages: [264, 0, 256, 8], files: [6, 0, 2, 4] })
      await checkAsUsers(t, target)
    })
  }
})

void withMongo(t, 'what has changed on either side since the import before', async (t, mongo) => {
  const from = `${mongo.url}${mongo.database}`
  await withDatabase(mongo.url, mongo.database, fillProxy)
  const { SQLite: target } = newTargets(t, mongo)
  await runImport(t, from, target)

  const here = await gatewayOver(t, target)
  const { access_token: ada } = await here.login('ada', PASSWORD)
  const grace = tokenOf(here, EXTERNAL.grace)
  const send = async (method: 'POST' | 'DELETE', path: string, token: string, body?: unknown) => {
    const reply = await here.request(method, `/api/v1${path}`, { token, body })
    t.equal(reply.statusCode, 200, reply.body)
  }
  await send('DELETE', '/chat/sessions/long', ada)
  await send('POST', '/chat/predict', grace, { chatflow_id: DEMO_IDS.echo, question: 'Hi', sessionId: 'by:client' })
  await send('DELETE', `/admin/chatflows/${DEMO_IDS.echo}/users/${EXTERNAL.ada}`, here.admin.token)
  await send('DELETE', `/admin/users/${EXTERNAL.twin}`, here.admin.token)
  await here.app.close()

  await withDatabase(mongo.url, mongo.database, async (db) => {
    const of = (session_id: string, user_id: string) => ({ session_id, user_id, role: 'user', created_at: new Date() })
    await db.collection('users').insertOne({ username: 'late', external_id: randomUUID() })
    await db.collection('chat_messages').insertMany([
      { ...of('first', EXTERNAL.ada), content: 'A word more' },
      { ...of('empty', EXTERNAL.ada), content: 'At last' },
      { ...of('by:client', EXTERNAL.grace), content: 'Too late' },
      { ...of('long', EXTERNAL.ada), content: 'Into what is gone' },
      { ...of('of twin', EXTERNAL.twin), chatflow_id: DEMO_IDS.echo, content: 'Of a deleted user' }
    ])
  })
  const output = await runImport(t, from, target)
  const { users, messages, sessions, grants } = countsIn(output)
  t.strictSame({ users, grants }, { users: [11, 1, 7, 3], grants: [8, 0, 2, 6] })
  t.strictSame({ sessions, messages }, { sessions: [9, 2, 1, 6], messages: [269, 2, 6, 261] })
  for (const reason of [
    'it has been deleted here since the import before',
    'the session has been used here since the import before',
    'this user has been deleted here'
  ])
    t.match(output, reason)

  const after = await gatewayOver(t, target)
  const get = reader(after, (await after.login('ada', PASSWORD)).access_token)
  t.equal(await get('/chat/sessions/long/history'), 404)
  t.strictSame(await get('/chatflows'), [], 'what was revoked stays so')
  t.match((await get('/chat/sessions/first/history')).messages.at(-1), { content: 'A word more' })
  const built = await reader(after, tokenOf(after, EXTERNAL.grace))('/chat/sessions/by:client/history')
  t.equal(built.count, 4)
  t.equal(await reader(after, tokenOf(after, EXTERNAL.twin))('/chat/sessions'), 401)
})
