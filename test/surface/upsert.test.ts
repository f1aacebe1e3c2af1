import t from 'tap'
import { verifyLedger } from '../../src/credits/verify.ts'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { open } from '../prediction/tools.ts'
import { FAULTS, type Fault } from '../stand-in/flowise.ts'
import { formOf } from './form.ts'
import { openSurface } from './open.ts'

const { echo, report } = DEMO_IDS
const URL = `/api/v1/vector/upsert/${echo}`
const UPSERTED = /^POST .*\/vector\/upsert\//
const PRICED = { upsert_price: 1 }
const ANSWER = { numAdded: 2, numDeleted: 0, numUpdated: 0, numSkipped: 1, addedDocs: [{ pageContent: 'a secret' }] }

async function start(t: Parameters<typeof openSurface>[0], env: Record<string, string> = {}) {
  const surface = await openSurface(t, env)
  const { request, standIn, json, user, admin, app } = surface
  standIn.always(json(ANSWER), UPSERTED)
  const upsert = (body: unknown, headers: Record<string, string> = {}, token = user.token) =>
    request('POST', URL, { token, body, headers })
  const configure = (body: object) => request('PATCH', `/api/v1/admin/chatflows/${echo}`, { token: admin.token, body })
  await configure(PRICED)
  const credits = async () => (await request('GET', '/api/v1/chat/credits', { token: user.token })).json()
  /** The balance is this, nothing is held, and the books are right. */
  const isLeft = async (remaining: number) => {
    const { credits_remaining, credits_held } = await credits()
    t.same([credits_remaining, credits_held], [remaining, 0])
    t.same((await verifyLedger(app.store)).problems, [])
  }
  return { ...surface, upsert, configure, credits, isLeft }
}

t.test('nobody fills a vector store that no administrator has opened', async (t) => {
  const { upsert, configure, isLeft, seen, app, user, admin } = await start(t)
  for (const closed of [{ upsert_price: null }, { upsert_price: null, price: 0 }]) {
    await configure(closed)
    for (const token of [user.token, admin.token]) {
      const reply = await upsert({}, { 'idempotency-key': 'closed' }, token)
      t.equal(reply.statusCode, 403)
      t.match(reply.json(), { code: 'upserts_forbidden', message: 'This chat does not keep documents.' })
    }
  }
  t.equal(seen(UPSERTED).length, 0)
  await isLeft(1000)
  await configure({ upsert_price: 0 })
  t.equal((await upsert({}, { 'idempotency-key': 'closed' })).json().credits_charged, 0)
  await isLeft(1000)
  const recorded = () => app.store.collection('free_runs').list({ limit: 2 })
  while ((await recorded()).length === 0) await new Promise((resolve) => void setImmediate(resolve))
  t.match(await recorded(), [{ userId: user.id, chatflowId: echo, meta: { purpose: 'upsert' } }])
})

t.test('an upsert has its price, and tells counts only', async (t) => {
  const { upsert, configure, isLeft, seen, request, user, admin } = await start(t)
  const first = await upsert({ overrideConfig: { topK: 4, sessionId: 'theirs' }, stopNodeId: 'pinecone_0' })
  t.equal(first.statusCode, 200, first.body)
  t.same(first.json(), {
    numAdded: 2,
    numDeleted: 0,
    numUpdated: 0,
    numSkipped: 1,
    credits_charged: 1,
    credits_remaining: 999
  })
  t.same(seen(UPSERTED)[0]?.body, { overrideConfig: {}, stopNodeId: 'pinecone_0' }, 'no override is open')
  await configure({ upsert_price: 2.5, override_allow: ['topK'], metered: { per_1k_tokens: 9, floor: 9, ceiling: 9 } })
  await upsert({ overrideConfig: { topK: 4, sessionId: 'theirs' } })
  t.same(seen(UPSERTED)[1]?.body, { overrideConfig: { topK: 4 } })
  await isLeft(996.5)
  const { transactions } = (await request('GET', '/api/v1/chat/credits/transactions', { token: user.token })).json()
  t.match(transactions[0], { kind: 'charge', amount: -2.5, chatflow_id: echo, session_id: null, note: 'upsert' })
  const shown = (await request('GET', `/api/v1/admin/chatflows/${echo}`, { token: admin.token })).json()
  t.equal(shown.upsert_price, 2.5)
  t.equal((await configure({ upsert_price: 0.0000001 })).statusCode, 422)
  await configure({ upsert_price: 0 })
  t.equal((await upsert({})).json().credits_charged, 0)
  await isLeft(996.5)
})

t.test('documents go along, for a chat under the id that its questions will have', async (t) => {
  const { upsert, isLeft, seen, ask, lastAsked, user, other, request } = await start(t, { MAX_FILE_MB: '1' })
  const part = { name: 'files', filename: 'a.md', type: 'text/markdown', content: '# A' }
  const { body, headers } = formOf([part, { name: 'chatId', content: 'cust+1' }, { name: 'usePrefix', content: 'x' }])
  t.equal((await upsert(body, headers)).statusCode, 200)
  const sent = String(seen(UPSERTED)[0]?.body)
  t.match(sent, /name="files"; filename="a.md"\r\nContent-Type: text\/markdown\r\n\r\n# A/)
  t.notMatch(sent, /cust|usePrefix/)
  await ask(user.token, 'cust+1')
  t.match(sent, `name="chatId"\r\n\r\n${lastAsked().chatId}\r\n`)
  await ask(other.token, 'others')
  const refused = async (parts: Parameters<typeof formOf>[0]) => {
    const form = formOf(parts)
    return (await upsert(form.body, form.headers)).statusCode
  }
  t.equal(await refused([{ ...part, type: 'application/x-sh' }]), 415)
  t.equal(await refused([{ ...part, type: 'application/pdf' }]), 415)
  t.equal(await refused([{ ...part, content: 'x'.repeat(1_048_577) }]), 413)
  t.equal((await request('POST', `/api/v1/vector/upsert/${report}`, { token: other.token, body: {} })).statusCode, 403)
  t.equal(seen(UPSERTED).length, 1)
  await isLeft(998)
  const theirs = lastAsked().chatId
  const taken = formOf([part, { name: 'chatId', content: 'others' }])
  t.equal((await upsert(taken.body, taken.headers)).statusCode, 200, 'a name that is taken is a chat of their own')
  t.notMatch(String(seen(UPSERTED)[1]?.body), theirs)
})

t.test('what fails costs nothing and tells nothing', async (t) => {
  const { upsert, isLeft, standIn, configure, visitor, request } = await start(t, { MAX_STREAM_SECONDS: '1' })
  const faults: [Fault, number][] = [
    [FAULTS.failure, 502],
    [FAULTS.html, 502],
    [{ body: '[]' }, 502],
    [FAULTS.unauthorized, 502],
    [FAULTS.refused, 503],
    [FAULTS.hang, 503]
  ]
  for (const [fault, status] of faults) {
    standIn.next(fault, UPSERTED)
    const reply = await upsert({})
    t.equal(reply.statusCode, status)
    t.notMatch(reply.body, /sk-1|10\.0\.0\.1|<html|Unauthorized/)
    await isLeft(1000)
  }
  await configure({ upsert_price: 1001 })
  const poor = await upsert({})
  t.equal(poor.statusCode, 402)
  t.match(poor.json(), { code: 'insufficient_credits', available: 1000, needed: 1001 })
  await isLeft(1000)
  const alice = await visitor('alice')
  t.equal((await request('POST', URL, { token: alice, body: {} })).statusCode, 404, 'no visitor fills it')
  t.equal((await request('POST', URL, { body: {} })).statusCode, 401)
})

t.test('the same key has one upsert and one charge', async (t) => {
  const { upsert, isLeft, seen, standIn } = await start(t)
  const keyed = (body: object = {}) => upsert(body, { 'idempotency-key': 'once' })
  standIn.next(FAULTS.refused, UPSERTED)
  t.equal((await keyed()).statusCode, 503, 'what invites a repetition is forgotten')
  const first = await keyed()
  const second = await keyed()
  t.same(second.json(), first.json())
  t.equal(second.headers['idempotency-replayed'], 'true')
  t.equal((await keyed({ stopNodeId: 'other' })).statusCode, 422)
  t.equal(seen(UPSERTED).length, 2)
  await isLeft(999)
  standIn.next(FAULTS.failure, UPSERTED)
  const failed = () => upsert({}, { 'idempotency-key': 'fails' })
  t.same([(await failed()).statusCode, (await failed()).statusCode], [502, 502])
  t.equal(seen(UPSERTED).length, 3)
  await isLeft(999)
})

t.test('a client that leaves pays for what Flowise finished; one that is shut down does not', async (t) => {
  const { standIn, json, listen, user, app, credits, isLeft } = await start(t)
  const url = `${await listen()}${URL}`
  standIn.next({ ...json(ANSWER), gates: { head: 'busy' } }, UPSERTED)
  const wire = open(url, { token: user.token, body: {} })
  await standIn.gate('busy').reached
  t.match(await credits(), { credits_remaining: 999, credits_held: 1 })
  wire.leave()
  standIn.gate('busy').open()
  await standIn.waitFor(({ method, url: asked, isAnswered }) => UPSERTED.test(`${method} ${asked}`) && isAnswered)
  while ((await credits()).credits_held > 0) await new Promise((resolve) => void setImmediate(resolve))
  await isLeft(999)

  standIn.next({ ...json(ANSWER), gates: { head: 'stuck' } }, UPSERTED)
  const second = open(url, { token: user.token, body: {} })
  await standIn.gate('stuck').reached
  await app.lifecycle.beginDrain()
  t.equal((await second.head).status, 503)
  t.match(await second.ended, 'restarting')
  await isLeft(999)
})

t.test('a process that dies in it gives the credits back, and what lands late changes nothing', async (t) => {
  const { upsert, standIn, json, app, isLeft } = await start(t)
  standIn.next({ ...json(ANSWER), gates: { head: 'busy' } }, UPSERTED)
  const late = upsert({})
  await standIn.gate('busy').reached
  // As the sweeper of another process sees it that has heard nothing for a minute.
  t.equal(await app.ledger.expireDue(app.clock.now() + 61_000), 1)
  await isLeft(1000)
  standIn.gate('busy').open()
  t.equal((await late).json().credits_charged, 0)
  await isLeft(1000)
})
