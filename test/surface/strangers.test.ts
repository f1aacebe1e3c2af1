import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { eventsOf } from '../prediction/tools.ts'
import { openSurface } from './open.ts'

const { echo } = DEMO_IDS
const PATH = `/api/v1/prediction/${echo}`

t.setTimeout(300_000)

t.test('a visitor is told nothing of the money of the one who pays', async (t) => {
  const { request, user, admin, visitor } = await openSurface(t)
  const token = await visitor('anna')
  const ask = (body: Record<string, unknown>, key: string) =>
    request('POST', PATH, { token, body: { question: 'hi', ...body }, headers: { 'idempotency-key': key } })
  for (const streaming of [false, true])
    for (const replayed of [undefined, 'true']) {
      const reply = await ask({ streaming, chatId: `c-${streaming}` }, `key-${streaming}`)
      t.equal(reply.statusCode, 200)
      t.equal(reply.headers['idempotency-replayed'], replayed)
      t.match(reply.body, streaming ? '"event":"metadata"' : '"chatMessageId"')
      t.notMatch(reply.body, /credits|remaining|charged|\b99[0-9]\b/)
      if (streaming) t.equal(eventsOf(reply.body).at(-1)?.event, 'end')
    }
  const body = { amount: 0.25, note: 'nearly empty', idempotency_key: 'empty' }
  await request('POST', `/api/v1/admin/users/${user.id}/credits/set`, { token: admin.token, body })
  const broke = await ask({ chatId: 'd' }, 'broke')
  t.equal(broke.statusCode, 402)
  t.match(broke.json(), { code: 'insufficient_credits', message: 'There are not enough credits left for this chat.' })
  t.notMatch(broke.body, /0\.25|available|held|needed|reason/)
  const problem = await request('POST', PATH, {
    token,
    body: { question: 'hi' },
    headers: { accept: 'application/problem+json' }
  })
  t.equal(problem.statusCode, 402)
  t.notMatch(problem.body, /0\.25|available":|held":/)
  const own = await request('POST', PATH, { token: user.token, body: { question: 'hi' } })
  t.match(own.json(), { available: 0.25, needed: 1 })
})

t.test('a visitor who has named no chat goes on with the one of the reply', async (t) => {
  const { request, visitor, user } = await openSurface(t)
  const anna = await visitor('anna')
  const ask = (token: string, body: Record<string, unknown>, headers: Record<string, string> = {}) =>
    request('POST', PATH, { token, body, headers })
  const before = { question: 'What did I say before?' }
  for (const token of [anna, user.token]) {
    const keyed = { 'idempotency-key': 'once' }
    const first = (await ask(token, { question: 'My name is Ada' }, keyed)).json()
    const again = await ask(token, { question: 'My name is Ada' }, keyed)
    t.equal(again.headers['idempotency-replayed'], 'true')
    t.strictSame(again.json().chatId, first.chatId)
    const { chatId } = first
    t.match((await ask(token, { ...before, chatId })).json(), { text: 'Before that you said: My name is Ada', chatId })
    const rated = { chatflowid: echo, chatId, messageId: first.chatMessageId, rating: 'THUMBS_UP' }
    t.equal((await request('POST', `/api/v1/feedback/${echo}`, { token, body: rated })).statusCode, 200)
    t.match((await ask(await visitor('bert'), { ...before, chatId })).json(), { text: /not said anything/ })
  }
  const streamed = await ask(anna, { question: 'My name is Bob', streaming: true })
  const chatId = /"chatId":"([^"]+)"/.exec(streamed.body)?.[1]
  t.match((await ask(anna, { ...before, chatId })).json(), { text: 'Before that you said: My name is Bob' })
})
