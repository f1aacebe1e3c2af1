import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp } from '../helper.ts'

t.test('a client made for Flowise learns without a token whether a chatflow streams', async (t) => {
  const { request } = await buildTestApp(t)
  const ask = async (id: string) => (await request('GET', `/api/v1/chatflows-streaming/${id}`)).json()
  t.strictSame(await ask(DEMO_IDS.echo), { isStreaming: true })
  t.strictSame(await ask(DEMO_IDS.report), { isStreaming: false })
})

t.test('a chatflow nobody knows streams, so that existence does not show and a refusal is read as one', async (t) => {
  const { request, standIn } = await buildTestApp(t)
  const before = standIn.requests.length
  const reply = await request('GET', '/api/v1/chatflows-streaming/00000000-0000-4000-8000-000000000000')
  t.equal(reply.statusCode, 200)
  t.strictSame(reply.json(), { isStreaming: true })
  t.equal(standIn.requests.length, before, 'Flowise is not asked about what the catalogue does not know')
})
