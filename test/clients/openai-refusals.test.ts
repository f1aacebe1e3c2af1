import OpenAI, { APIError, AuthenticationError } from 'openai'
import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp, type NewTestUser } from '../helper.ts'
import { settled, stored } from '../prediction/tools.ts'
import { FAULTS } from '../stand-in/flowise.ts'

const { echo } = DEMO_IDS

/** The client with its own repetitions, and a look at each reply on the wire. */
async function start(t: Test, user: NewTestUser = {}, env: Record<string, string> = {}) {
  const gateway = await buildTestApp(t, { env })
  const owner = await gateway.createUser({ credits: 100, grants: [echo], ...user })
  const url = await gateway.listen()
  const replies: Response[] = []
  const client = (apiKey: string) =>
    new OpenAI({
      baseURL: `${url}/v1`,
      apiKey,
      async fetch(input, init) {
        const reply = await fetch(input, init)
        replies.push(reply)
        return reply
      }
    })
  const openai = client(owner.token)
  const ask = (more: object = {}) =>
    refusal(openai.chat.completions.create({ model: echo, messages: [{ role: 'user', content: 'hi' }], ...more }))
  return { ...gateway, owner, url, replies, client, openai, ask }
}

async function refusal(call: PromiseLike<unknown>): Promise<APIError> {
  const error = await Promise.resolve(call).then(
    () => undefined,
    (thrown: unknown) => thrown
  )
  if (!(error instanceof APIError)) throw new Error(`not refused by the API: ${String(error)}`)
  return error
}

t.test('a wrong key is told once', async (t) => {
  const { client, replies } = await start(t)
  const error = await refusal(client('sk-not-a-key').models.list())
  t.ok(error instanceof AuthenticationError)
  t.match(error, { status: 401, type: 'authentication_error', code: 'invalid_token', requestID: String })
  t.equal(replies.length, 1)
  t.equal(replies[0]?.headers.get('www-authenticate'), 'Bearer')
})

t.test('no credits is told once, and says what is missing', async (t) => {
  const gateway = await start(t, { credits: 0 })
  t.match(await gateway.ask(), {
    status: 402,
    type: 'insufficient_quota',
    code: 'insufficient_credits',
    error: { needed: 1, available: 0 }
  })
  t.equal(gateway.replies.length, 1)
  t.equal(gateway.standIn.predictions.length, 0)
})

t.test('what a chatflow cannot do is refused with the name of the parameter', async (t) => {
  const { ask, replies, standIn } = await start(t)
  const text = { role: 'user', content: 'hi' }
  const image = (url: string) => [
    {
      role: 'user',
      content: [
        { type: 'image_url', image_url: { url } },
        { type: 'text', text: 'hi' }
      ]
    }
  ]
  const cases: [object, string][] = [
    [{ n: 2 }, 'n'],
    [{ tools: [{ type: 'function', function: { name: 'a' } }] }, 'tools'],
    [{ response_format: { type: 'json_schema', json_schema: { name: 'a', schema: {} } } }, 'response_format'],
    [{ logprobs: true }, 'logprobs'],
    [{ modalities: ['text', 'audio'] }, 'modalities'],
    [{ messages: [] }, 'messages'],
    [{ messages: [text, { role: 'tool', content: 'x', tool_call_id: 'y' }] }, 'messages[1].role'],
    [{ messages: [text, { role: 'assistant', content: 'x' }] }, 'messages'],
    [{ messages: [{ role: 'assistant', tool_calls: [{ id: 'x' }] }, text] }, 'messages[0].tool_calls'],
    [
      { messages: [{ role: 'user', content: [{ type: 'input_audio', input_audio: {} }] }] },
      'messages[0].content[0].type'
    ],
    [{ messages: image('https://example.com/cat.png') }, 'messages[0].content[0].image_url.url'],
    [{ messages: image('data:image/png;base64,%%%') }, 'messages[0].content[0].image_url.url'],
    [
      { metadata: { session_id: 'a' }, model: echo, messages: [{ role: 'user', content: 'x'.repeat(100_001) }] },
      'messages'
    ],
    [{ model: 'nobody' }, 'model']
  ]
  for (const [body, param] of cases) {
    const error = await ask(body)
    t.match(error, { type: 'invalid_request_error', param }, param)
    t.equal(error.status, param === 'model' ? 404 : 400)
  }
  t.equal(replies.length, cases.length, 'nothing is repeated')
  t.equal(standIn.predictions.length, 0)
})

t.test('Flowise away is repeated, because nothing has been done', async (t) => {
  const gateway = await start(t)
  await gateway.standIn.close()
  const error = await gateway.ask()
  t.match(error, { status: 503, type: 'server_error', code: 'upstream_unavailable' })
  t.equal(gateway.replies.length, 3, 'the client repeats by itself, twice')
  for (const { headers } of gateway.replies) t.equal(headers.get('x-should-retry'), null)
  t.ok(gateway.replies[0]?.headers.get('retry-after'))
  t.strictSame(await stored(gateway).charges(gateway.owner.id), [])
})

t.test('what has reached Flowise is never repeated by itself', async (t) => {
  const gateway = await start(t, {}, { FIRST_BYTE_TIMEOUT_MS: '1000' })
  const cases = [
    ['upstream_error', FAULTS.failure, [false, true]],
    ['upstream_error', FAULTS.errorFirst, [true]],
    ['upstream_empty', { answer: { text: '' } }, [false, true]],
    ['upstream_timeout', FAULTS.hang, [false, true]]
  ] as const
  for (const [code, fault, forms] of cases) {
    for (const stream of forms) {
      const before = gateway.replies.length
      const asked = gateway.standIn.predictions.length
      gateway.standIn.next(fault)
      const error = await gateway.ask({ stream })
      t.match(error, { code, type: 'server_error' }, `${code} ${stream}`)
      t.equal(gateway.replies.length, before + 1, 'once')
      t.equal(gateway.replies.at(-1)?.headers.get('x-should-retry'), 'false')
      t.equal(gateway.standIn.predictions.length, asked + 1)
    }
  }
  await settled(t, gateway, gateway.owner.id)
})

t.test('a conversation in which an answer is coming does not get the question twice', async (t) => {
  const gateway = await start(t)
  gateway.standIn.next({ gates: { head: 'wait' } })
  const named = { headers: { 'X-Session-Id': 'talk' } }
  const body = { model: echo, messages: [{ role: 'user' as const, content: 'hi' }] }
  const first = gateway.openai.chat.completions.create(body, named)
  const answered = first.then((done) => done.choices[0]?.message.content)
  await gateway.standIn.gate('wait').reached
  const error = await refusal(gateway.openai.chat.completions.create(body, named))
  t.match(error, { status: 409, code: 'session_busy', type: 'invalid_request_error' })
  t.equal(gateway.replies.at(-1)?.headers.get('x-should-retry'), 'false')
  gateway.standIn.gate('wait').open()
  t.match(await answered, 'Hello')
  t.equal(gateway.standIn.predictions.length, 1)
})

t.test('too many questions in a minute are told with the time to wait', async (t) => {
  const gateway = await start(t, {}, { RATE_LIMIT_PER_MINUTE: '1' })
  const impatient = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: gateway.owner.token, maxRetries: 0 })
  const body = { model: echo, messages: [{ role: 'user' as const, content: 'hi' }] }
  await impatient.chat.completions.create(body)
  const error = await refusal(impatient.chat.completions.create(body))
  t.match(error, { status: 429, type: 'rate_limit_error', code: 'rate_limited' })
  t.ok(Number(error.headers?.get('retry-after')) > 0)
})

t.test('there is nothing else below /v1', async (t) => {
  const { openai, url, owner } = await start(t)
  const error = await refusal(openai.embeddings.create({ model: echo, input: 'hi' }))
  t.match(error, { status: 404, type: 'invalid_request_error', code: 'not_found', param: null })
  for (const path of ['/v1', '/v1/', '/v1/responses', '/v1/chat', '/v1/models/a/b', '/v1/%7Bx']) {
    const reply = await fetch(url + path, { headers: { authorization: `Bearer ${owner.token}` } })
    t.match([reply.status, await reply.json()], [404, { error: { code: 'not_found', type: String } }], path)
  }
})
