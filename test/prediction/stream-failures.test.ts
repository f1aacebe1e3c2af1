import t from 'tap'
import type { Fault } from '../stand-in/flowise.ts'
import { startStreams } from './streams.ts'
import { eventsOf, idle, settled, stored, textOf } from './tools.ts'

t.test('what fails before the first event is a status', async (t) => {
  const gateway = await startStreams(t, { FIRST_BYTE_TIMEOUT_MS: '200', MAX_ANSWER_MB: '0.01' })
  const { played, user } = gateway
  const stream = (body: string, more: Fault = {}): Fault => ({
    headers: { 'content-type': 'text/event-stream' },
    body,
    ...more
  })
  const faults: [Fault, number, string][] = [
    [{ events: [['error', 'Error: sk-secret']] }, 502, 'upstream_error'],
    [{ events: [] }, 502, 'upstream_empty'],
    [{ events: [], end: 'none' }, 502, 'upstream_empty'],
    [{ events: [], heartbeats: 3, end: 'open' }, 503, 'upstream_timeout'],
    [{ events: [], end: 'cut' }, 503, 'upstream_unavailable'],
    [stream('data: {"event":"tok', { end: 'open' }), 503, 'upstream_timeout'],
    [stream(`data: ${'x'.repeat(20_000)}`), 502, 'upstream_too_large'],
    [{ hang: true }, 503, 'upstream_timeout'],
    [{ refuse: true }, 503, 'upstream_unavailable'],
    [{ status: 500, body: 'sk-secret' }, 502, 'upstream_error'],
    [{ status: 404, body: '{}' }, 404, 'chatflow_not_found'],
    [{ status: 401, body: '{}' }, 502, 'upstream_error'],
    [{ headers: { 'content-type': 'text/html' }, body: '<html>sk-secret' }, 502, 'upstream_error'],
    [{ answer: { text: '' } }, 502, 'upstream_empty']
  ]
  for (const [fault, status, code] of faults) {
    const reply = await played(fault)
    const body = JSON.parse(reply.text)
    t.same([reply.status, body.code], [status, code], JSON.stringify(fault).slice(0, 80))
    t.match(reply.headers['content-type'], 'application/problem+json')
    t.notMatch(reply.text, 'sk-secret')
    t.equal(reply.headers['retry-after'] !== undefined, status === 503)
  }
  await idle(gateway)
  t.same(await stored(gateway).charges(user.id), [])
  t.ok((await stored(gateway).messages()).every(({ status }) => status === 'failed'))
  await settled(t, gateway, user.id)
})

t.test('what fails later is one error event and one end', async (t) => {
  const gateway = await startStreams(t, {
    STREAM_IDLE_TIMEOUT_MS: '150',
    MAX_STREAM_SECONDS: '0.6',
    MAX_ANSWER_MB: '0.01'
  })
  const { played, user } = gateway
  const token = ['token', 'half'] as const
  const many = Array.from({ length: 40 }, () => ['token', 'x'.repeat(300)] as const)
  const cases: [string, Fault, string, number, string][] = [
    ['an error event', { events: [token, ['error', 'sk-secret']] }, 'upstream_error', 502, 'half'],
    [
      'an error without output',
      {
        events: [
          ['start', ''],
          ['error', 'sk-secret']
        ]
      },
      'upstream_error',
      502,
      ''
    ],
    ['closed without end', { events: [token], end: 'none' }, 'upstream_incomplete', 502, 'half'],
    ['cut', { events: [token], end: 'cut' }, 'upstream_incomplete', 502, 'half'],
    ['cut without output', { events: [['start', '']], end: 'cut' }, 'upstream_incomplete', 502, ''],
    ['silence', { events: [token], heartbeats: 2, end: 'open' }, 'upstream_timeout', 503, 'half'],
    [
      'end without output',
      {
        events: [
          ['start', ''],
          ['token', '']
        ]
      },
      'upstream_empty',
      502,
      ''
    ],
    ['too much', { events: many }, 'upstream_error', 502, '']
  ]
  let charged = 0
  for (const [name, fault, code, status, text] of cases) {
    const { headers, ...reply } = await played(fault, { sessionId: name.replaceAll(' ', '-') })
    t.equal(reply.status, 200, name)
    const names = reply.events.map(({ event }) => event)
    t.same(names.slice(-2), ['error', 'end'], name)
    t.equal(names.filter((event) => event === 'end').length, 1)
    t.equal(names.filter((event) => event === 'error').length, 1)
    t.notOk(names.includes('metadata'))
    const error = reply.events.at(-2)?.data
    const hasOutput = textOf(reply.text) !== ''
    if (hasOutput) charged++
    t.match(error, { code, status, request_id: headers['x-request-id'], credits_charged: hasOutput ? 1 : 0 }, name)
    t.same(Object.keys(error ?? {}), [
      'event',
      'data',
      'code',
      'status',
      'request_id',
      'credits_charged',
      'credits_remaining'
    ])
    t.type(error?.data, 'string')
    t.equal(error?.credits_remaining, 1000 - charged)
    t.notMatch(reply.text, 'sk-secret')
    if (name !== 'too much') t.equal(textOf(reply.text), text, name)
    const [, answer] = await stored(gateway).messages(name.replaceAll(' ', '-'))
    t.equal(answer?.content ?? '', textOf(reply.text), 'the history has what was received')
    if (hasOutput) t.equal(answer?.status, 'incomplete')
  }
  await settled(t, gateway, user.id)
})

t.test('the deadline counts while events flow', async (t) => {
  const gateway = await startStreams(t, { MAX_STREAM_SECONDS: '0.4' })
  const { standIn, stream, user } = gateway
  const events = Array.from({ length: 2000 }, (_, n) => ['token', `${n} `] as const)
  standIn.next({ events, end: 'open' })
  const text = await stream().ended
  t.match(eventsOf(text).at(-2)?.data, { code: 'deadline_exceeded', status: 503 })
  t.equal(eventsOf(text).at(-1)?.event, 'end')
  await standIn.waitFor(({ url }) => url.includes('/abort/'))
  await settled(t, gateway, user.id)
})

t.test('metadata and end only: the stored answer is fetched', async (t) => {
  const gateway = await startStreams(t)
  const { standIn, played, user } = gateway
  const lost = await played({ events: [['metadata', { chatMessageId: 'unknown' }]] })
  t.match(lost.events.at(-2)?.data, { code: 'upstream_empty', credits_charged: 0 })
  standIn.store('the stored answer 🙂')
  const found = await played({ events: [['metadata', { chatMessageId: 'stored-1' }]] }, { sessionId: 'repaired' })
  t.same(
    found.events.map(({ event }) => event),
    ['session_id', 'token', 'metadata', 'end']
  )
  t.equal(textOf(found.text), 'the stored answer 🙂')
  t.equal((await stored(gateway).messages('repaired'))[1]?.content, 'the stored answer 🙂')
  t.equal(standIn.requests.at(-1)?.headers.authorization, 'Bearer flowise-test-key')
  await settled(t, gateway, user.id)
})

t.test('events after the end are not told', async (t) => {
  const { played } = await startStreams(t)
  const twice = await played({ end: 'twice' })
  t.equal(twice.events.filter(({ event }) => event === 'end').length, 1)
  t.equal(twice.events.at(-1)?.event, 'end')
})

t.test('a connection that Flowise forgets to close after the end is closed', async (t) => {
  const { standIn, stream } = await startStreams(t)
  const frames = 'data: {"event":"token","data":"a"}\n\ndata: {"event":"end","data":"[DONE]"}\n\n'
  standIn.next({ headers: { 'content-type': 'text/event-stream' }, body: frames, end: 'open' })
  t.match(await stream().ended, /event: metadata[^]*event: end/)
  const { isLeft } = await standIn.waitFor((seen) => seen.isLeft)
  t.ok(isLeft)
})
