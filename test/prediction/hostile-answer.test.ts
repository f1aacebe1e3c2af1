import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import type { Fault } from '../stand-in/flowise.ts'
import { startStreams } from './streams.ts'
import { eventsOf, idle, settled, stored, textOf } from './tools.ts'

const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`
const frame = (json: string) => `message:\ndata:${json}\n\n`
const stream = (...frames: string[]): Fault => ({
  headers: { 'content-type': 'text/event-stream' },
  body: [...frames, '{"event":"end","data":"[DONE]"}'].map(frame).join('')
})
const json = (body: string): Fault => ({ headers: { 'content-type': 'application/json' }, body })

t.test('what nests too deep for a store is left out, and the rest is answered, stored and replayed', async (t) => {
  const gateway = await startStreams(t)
  const { app, standIn, user, stream: ask } = gateway
  const faults: [Fault, string][] = [
    [json(`{"text":"a","sourceDocuments":${deep}}`), '/api/v1/chat/predict'],
    [json(`{"text":"a","sourceDocuments":${deep}}`), '/api/v1/prediction/'],
    [
      stream(`{"event":"sourceDocuments","data":${deep}}`, '{"event":"token","data":"a"}'),
      '/api/v1/chat/predict/stream'
    ]
  ]
  for (const [i, [fault, path]] of faults.entries()) {
    standIn.next(fault)
    const sessionId = `s${i}`
    const reply = await ask({ sessionId, chatId: sessionId }, path.endsWith('/') ? `${path}${DEMO_IDS.echo}` : path)
      .ended
    t.match(reply, /"a"/, path)
    t.notMatch(reply, /\[\[/, path)
    t.match(await stored(gateway).messages(sessionId), [{ role: 'user' }, { content: 'a', status: 'complete' }])
  }
  standIn.next(json(`{"text":"a","artifacts":${deep}}`))
  const keyed = () =>
    app.inject({
      method: 'POST',
      url: '/api/v1/chat/predict',
      headers: { authorization: `Bearer ${user.token}`, 'idempotency-key': 'k1' },
      payload: { chatflow_id: DEMO_IDS.echo, question: 'hi' }
    })
  const first = await keyed()
  const second = await keyed()
  t.equal(second.headers['idempotency-replayed'], 'true')
  t.equal(second.body, first.body)
  t.equal((await stored(gateway).charges(user.id)).length, faults.length + 1)
  await idle(gateway)
  await settled(t, gateway, user.id)
})

t.test('an answer that is nothing but too deep is an empty one', async (t) => {
  const gateway = await startStreams(t)
  for (const body of [deep, `{"text":${deep}}`, `{"json":${deep}}`]) {
    const reply = await gateway.played(json(body))
    t.match([reply.status, JSON.parse(reply.text).code], [502, 'upstream_empty'])
  }
  await settled(t, gateway, gateway.user.id)
})

t.test('an error event is an upstream_error whatever its data is', async (t) => {
  const gateway = await startStreams(t)
  const error = '{"event":"error","data":{"toString":1,"valueOf":1}}'
  const first = await gateway.played(stream(error))
  t.match([first.status, JSON.parse(first.text).code], [502, 'upstream_error'])
  const { text } = await gateway.played(stream('{"event":"token","data":"a"}', error))
  t.match(eventsOf(text).at(-2)?.data, { event: 'error', code: 'upstream_error' })
})

t.test("an event's members beside data stay inside, but for the duration of thinking", async (t) => {
  const gateway = await startStreams(t)
  const { text } = await gateway.played(
    stream(
      '{"event":"token","data":"a","chatId":"upstream-1"}',
      '{"event":"thinking","data":"","duration":3,"chatId":"upstream-1"}'
    )
  )
  t.equal(textOf(text), 'a')
  t.match(text, 'data: {"event":"thinking","data":"","duration":3}\n')
  t.notMatch(text, 'upstream-1')
})

t.test('execution data and comments do not count for the size of an answer', async (t) => {
  const gateway = await startStreams(t, { MAX_ANSWER_MB: '0.01' })
  const nodes = `{"event":"agentFlowExecutedData","data":[{"nodeId":"n","data":{"input":"${'x'.repeat(4000)}"}}]}`
  const fault = stream(...Array.from({ length: 10 }, () => nodes), '{"event":"token","data":"a"}')
  const { text } = await gateway.played({ ...fault, body: `${':heartbeat\n\n'.repeat(2000)}${fault.body}` })
  t.equal(textOf(text), 'a')
  t.equal(eventsOf(text).at(-2)?.event, 'metadata')
})
