import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { eventsOf } from '../prediction/tools.ts'
import { openSurface } from './open.ts'

const { echo } = DEMO_IDS
const PATH = `/api/v1/prediction/${echo}`

t.setTimeout(120_000)

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
      t.notMatch(reply.body, /credits|remaining|charged|99[0-9]/)
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
