import OpenAI, { APIError } from 'openai'
import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { startStreams } from '../prediction/streams.ts'
import { idle, settled, stored } from '../prediction/tools.ts'
import { FAULTS } from '../stand-in/flowise.ts'

const { echo, report, research, storyteller } = DEMO_IDS

/** A listening gateway, and the client as people set it up: another base URL, and a key. */
async function start(t: Test, env: Record<string, string> = {}) {
  const gateway = await startStreams(t, env)
  const client = (apiKey: string) => new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey, timeout: 30_000 })
  return { ...gateway, client, openai: client(gateway.user.token) }
}

const ask = (content: string, model: string = echo) => ({ model, messages: [{ role: 'user' as const, content }] })

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

/** What a call is refused with. */
async function refusal(call: PromiseLike<unknown>): Promise<APIError> {
  const error = await Promise.resolve(call).then(
    () => undefined,
    (thrown: unknown) => thrown
  )
  if (!(error instanceof APIError)) throw new Error(`not refused by the API: ${String(error)}`)
  return error
}

t.test('the models are the chatflows that one may use, by id or alias', async (t) => {
  const { openai, configure } = await start(t)
  await configure({ alias: 'parrot' })
  const models = await all(openai.models.list())
  t.strictSame(models.map(({ id }) => id).toSorted(), ['parrot', report, research].toSorted())
  t.match(await openai.models.retrieve('parrot'), { id: 'parrot', object: 'model', chatflow_id: echo, name: 'Echo' })
  t.match(await openai.models.retrieve(echo), { id: 'parrot' }, 'the id stays good')
  t.match(await refusal(openai.models.retrieve('Echo')), { status: 404, code: 'chatflow_not_found', param: 'model' })
  t.match(await refusal(openai.models.retrieve(storyteller)), { status: 403, type: 'permission_error', param: 'model' })
})

t.test('an answer in one piece', async (t) => {
  const gateway = await start(t)
  await gateway.configure({ alias: 'parrot' })
  const { data, response } = await gateway.openai.chat.completions.create(ask('héllo 🙂', 'parrot')).withResponse()
  t.match(data, {
    id: /^chatcmpl-/,
    object: 'chat.completion',
    model: 'parrot',
    choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', refusal: null } }],
    gateway: { credits_charged: 1, credits_remaining: 999, message_id: String, session_id: String }
  })
  t.match(data.choices[0]?.message.content, 'héllo 🙂')
  t.ok(Math.abs(data.created - Date.now() / 1000) < 60)
  t.equal(data.usage, undefined, 'a chatflow does not report tokens')
  t.ok(response.headers.get('x-request-id'))
  t.strictSame(await stored(gateway).charges(gateway.user.id), [1_000_000])
  await settled(t, gateway, gateway.user.id)
})

t.test('an answer as it comes, unicode and all', async (t) => {
  const gateway = await start(t)
  const said = '🙂 ü \u2028 "quoted" \\ \n'.repeat(2000)
  const tokens = Array.from({ length: 200 }, (_, index) => said.slice(index * 160, (index + 1) * 160))
  gateway.standIn.next({
    events: [['start', ''], ...tokens.map((token) => ['token', token] as const), ['metadata', {}]],
    pieceBytes: 97
  })
  const stream = await gateway.openai.chat.completions.create({ ...ask('hi'), stream: true })
  const chunks = await all(stream)
  t.equal(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join(''), tokens.join(''))
  t.match(chunks[0], { object: 'chat.completion.chunk', choices: [{ delta: { role: 'assistant', content: '' } }] })
  t.match(chunks.at(-1), { choices: [{ delta: {}, finish_reason: 'stop' }], gateway: { credits_charged: 1 } })
  t.equal(new Set(chunks.map(({ id }) => id)).size, 1)
  t.notOk(
    chunks.some((chunk) => 'usage' in chunk),
    'nobody has asked for it'
  )
  await settled(t, gateway, gateway.user.id)
})

t.test('usage as the flow reports it, in one piece and as the last chunk', async (t) => {
  const { openai, standIn } = await start(t)
  const usageMetadata = { input_tokens: 11, output_tokens: 4, total_tokens: 15 }
  const executed = [{ nodeId: 'a', nodeLabel: 'A', data: { output: { usageMetadata } } }]
  const usage = { prompt_tokens: 11, completion_tokens: 4, total_tokens: 15 }
  standIn.next({ answer: { agentFlowExecutedData: executed } })
  t.match(await openai.chat.completions.create(ask('hi', research)), { usage })

  const events = [
    ['token', 'Hi'],
    ['agentFlowExecutedData', executed],
    ['metadata', {}]
  ] as const
  const wanted = { ...ask('hi', research), stream: true, stream_options: { include_usage: true } } as const
  standIn.next({ events })
  const chunks = await all(await openai.chat.completions.create(wanted))
  t.match(chunks.at(-1), { choices: [], usage })
  t.strictSame(new Set(chunks.slice(0, -1).map((chunk) => chunk.usage)), new Set([null]))

  standIn.next({ events })
  const runner = openai.chat.completions.stream(wanted)
  t.match(await runner.finalChatCompletion(), { usage, choices: [{ message: { content: 'Hi' } }] })

  standIn.next({
    events: [
      ['token', 'Hi'],
      ['metadata', {}]
    ]
  })
  const untold = await all(await openai.chat.completions.create(wanted))
  t.match(untold.at(-1), { choices: [{ finish_reason: 'stop' }], usage: null }, 'nothing is made up')
})

t.test('a flow that cannot stream answers a stream in one chunk', async (t) => {
  const { openai } = await start(t)
  const stream = await openai.chat.completions.create({ ...ask('last month', report), stream: true })
  const texts = (await all(stream)).map(({ choices }) => choices[0]?.delta.content ?? '')
  t.match(texts.join(''), 'Report on "last month"')
})

t.test('a client that leaves stops the run, and what it got is settled', async (t) => {
  const gateway = await start(t)
  gateway.standIn.next({
    events: [
      ['token', 'Hello '],
      ['token', 'never']
    ],
    gates: { 1: 'more' },
    end: 'open'
  })
  const stream = await gateway.openai.chat.completions.create({ ...ask('hi'), stream: true })
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content) stream.controller.abort()
  await gateway.standIn.waitFor(({ isLeft, url }) => isLeft && url.includes('/prediction/'))
  await idle(gateway)
  gateway.standIn.gate('more').open()
  t.equal(gateway.standIn.predictions.length, 1)
  t.strictSame(await stored(gateway).charges(gateway.user.id), [1_000_000])
  await settled(t, gateway, gateway.user.id)
})

t.test('a failure in the middle of a stream is an error, not a short answer', async (t) => {
  const gateway = await start(t)
  gateway.standIn.next(FAULTS.errorLater)
  const stream = await gateway.openai.chat.completions.create({ ...ask('hi'), stream: true })
  let text = ''
  const error = await refusal(
    (async () => {
      for await (const { choices } of stream) text += choices[0]?.delta.content ?? ''
    })()
  )
  t.equal(text, 'Hel')
  t.match(error, { code: 'upstream_error', type: 'server_error', message: 'The chatflow failed.' })
  t.notMatch(JSON.stringify(error), 'buildChatflow', 'what Flowise said stays here')
  await settled(t, gateway, gateway.user.id)
})

t.test('the signs of life in a silence disturb no client', async (t) => {
  const gateway = await start(t, { SSE_PING_SECONDS: '0.05' })
  const seen = Promise.withResolvers<void>()
  const listening = new OpenAI({
    baseURL: `${gateway.url}/v1`,
    apiKey: gateway.user.token,
    async fetch(input, init) {
      const reply = await fetch(input, init)
      const decoder = new TextDecoderStream()
      const [mine, theirs] = (reply.body ?? new ReadableStream()).tee()
      void (async () => {
        let text = ''
        for await (const piece of mine.pipeThrough(decoder)) {
          text += piece
          if (/^: ping$/m.test(text)) seen.resolve()
        }
      })()
      return new Response(theirs, reply)
    }
  })
  gateway.standIn.next({
    events: [
      ['token', 'Hello '],
      ['token', 'again'],
      ['metadata', {}]
    ],
    gates: { 1: 'more' }
  })
  const stream = await listening.chat.completions.create({ ...ask('hi'), stream: true })
  const chunks = all(stream)
  await seen.promise
  gateway.standIn.gate('more').open()
  t.equal((await chunks).map(({ choices }) => choices[0]?.delta.content ?? '').join(''), 'Hello again')
})

t.test('an image goes with the question', async (t) => {
  const { openai, standIn } = await start(t)
  const url =
    'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
  const content = [
    { type: 'text' as const, text: 'What is this?' },
    { type: 'image_url' as const, image_url: { url, detail: 'low' as const } }
  ]
  const reply = await openai.chat.completions.create({ model: echo, messages: [{ role: 'user', content }] })
  t.ok(reply.choices[0]?.message.content)
  t.match(standIn.predictions.at(-1)?.body, { question: 'What is this?', uploads: [{ data: url, mime: 'image/png' }] })
})

t.test('what only tunes a model is taken and ignored', async (t) => {
  const { openai } = await start(t)
  const reply = await openai.chat.completions.create({
    ...ask('hi'),
    temperature: 0.2,
    top_p: 1,
    max_tokens: 5,
    max_completion_tokens: 5,
    seed: 7,
    stop: ['x'],
    presence_penalty: 1,
    frequency_penalty: 1,
    logit_bias: { 1: 2 },
    user: 'somebody',
    store: true,
    reasoning_effort: 'low',
    parallel_tool_calls: false,
    tool_choice: 'none',
    response_format: { type: 'text' }
  })
  t.match(reply.choices[0]?.message.content, 'hi')
})
