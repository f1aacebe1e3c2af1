import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { eventsOf, open } from '../prediction/tools.ts'
import { FAULTS, type Fault } from '../stand-in/flowise.ts'
import { openSurface } from './open.ts'

const { echo, report } = DEMO_IDS
const URL = '/api/v1/text-to-speech/generate'
const SPOKEN = /^POST .*\/text-to-speech\/generate/
const ENDED = /^POST .*\/text-to-speech\/abort/
const said = (event: string, data: object) => `event: ${event}\ndata: ${JSON.stringify({ event, data })}\n\n`
const sse = (...events: string[]): Fault => ({
  headers: { 'content-type': 'text/event-stream' },
  body: events.join('')
})
const START = said('tts_start', { chatMessageId: 'theirs', format: 'mp3' })
const DATA = said('tts_data', { chatMessageId: 'theirs', audioChunk: 'AAAA', more: 1 })
const END = said('tts_end', { chatMessageId: 'theirs' })

async function start(t: Parameters<typeof openSurface>[0], env: Record<string, string> = {}) {
  const surface = await openSurface(t, env)
  const { request, standIn, user } = surface
  standIn.always(sse(START, DATA, END), SPOKEN)
  const speak = (body: object = {}, token = user.token) =>
    request('POST', URL, {
      token,
      body: { chatflowId: echo, chatId: 'cust+1', chatMessageId: 'mine', text: 'hello', ...body }
    })
  return { ...surface, speak }
}

t.test('a text is read aloud, event by event, with the ids of the client', async (t) => {
  const { speak, seen, user, visitor } = await start(t)
  const reply = await speak()
  t.equal(reply.statusCode, 200, reply.body)
  t.equal(reply.headers['content-type'], 'text/event-stream')
  t.same(
    eventsOf(reply.body).map(({ event, data }) => [event, data.event, data.data]),
    [
      ['tts_start', 'tts_start', { chatMessageId: 'mine', format: 'mp3' }],
      ['tts_data', 'tts_data', { chatMessageId: 'mine', audioChunk: 'AAAA' }],
      ['tts_end', 'tts_end', { chatMessageId: 'mine' }]
    ]
  )
  t.match(reply.body, /^(event: tts_\w+\ndata: \{.+\}\n\n){3}$/, 'as the widget reads it')
  const [call] = seen(SPOKEN)
  t.match(call?.body, { chatflowId: echo, text: 'hello', chatId: /^speech-[a-z2-7]{26}$/ })
  await speak()
  await speak({}, await visitor('alice'))
  const chats = seen(SPOKEN).map(({ body }) => Object(body).chatId)
  t.equal(chats[0], chats[1])
  t.not(chats[0], chats[2], "a visitor's chat is another one")
  t.match((await speak({ chatMessageId: undefined }, user.token)).body, '"chatMessageId":null')
})

t.test('what is not allowed is refused, and what fails is an event in our words', async (t) => {
  const { speak, other, visitor, standIn, seen } = await start(t, { FIRST_BYTE_TIMEOUT_MS: '1000', MAX_ANSWER_MB: '1' })
  t.equal((await speak({ text: '' })).statusCode, 422)
  t.equal((await speak({ text: 'x'.repeat(10_001) })).statusCode, 422)
  t.equal((await speak({ chatflowId: report }, other.token)).statusCode, 403)
  t.equal((await speak({ chatflowId: report }, await visitor('alice'))).statusCode, 403)
  t.equal((await speak({}, '')).statusCode, 401)
  t.equal(seen(SPOKEN).length, 0)
  const error = said('tts_error', { error: 'Error: unauthorized access to http://10.0.0.1 sk-1' })
  const faults: Fault[] = [
    sse(error),
    sse(START, DATA),
    sse(START, said('tts_data', { audioChunk: 'A'.repeat(1_100_000) }), END),
    FAULTS.failure,
    FAULTS.html,
    FAULTS.refused,
    FAULTS.hang
  ]
  for (const fault of faults) {
    standIn.next(fault, SPOKEN)
    const reply = await speak()
    t.equal(reply.statusCode, 200)
    const last = eventsOf(reply.body).at(-1)
    t.equal(last?.event, 'tts_error')
    t.match(last?.data.data, { chatMessageId: 'mine', error: /^(The a|Something)/ })
    t.notMatch(reply.body, /10\.0\.0\.1|sk-1|html/)
  }
})

t.test('it ends when it is ended, and when nobody listens', async (t) => {
  const { standIn, listen, user, other, request, seen } = await start(t)
  const url = `${await listen()}${URL}`
  const body = { chatflowId: echo, chatId: 'chat', chatMessageId: 'mine', text: 'hello' }
  const stuck = { ...sse(START, DATA), end: 'open' } as const
  standIn.next(stuck, SPOKEN)
  const wire = open(url, { token: user.token, body })
  await wire.until(/tts_data/)
  const end = async (token: string) => request('POST', '/api/v1/text-to-speech/abort', { token, body })
  t.equal((await end(other.token)).statusCode, 200)
  t.not(Object(seen(ENDED)[0]?.body).chatId, Object(seen(SPOKEN)[0]?.body).chatId, "nobody ends another's")
  const ended = await end(user.token)
  t.same(ended.json(), { message: 'TTS stream aborted successfully', chatId: 'chat', chatMessageId: 'mine' })
  t.equal(eventsOf(await wire.ended).at(-1)?.event, 'tts_abort')
  t.match(seen(ENDED)[1]?.body, { chatId: Object(seen(SPOKEN)[0]?.body).chatId })

  standIn.next(stuck, SPOKEN)
  const left = open(url, { token: user.token, body })
  await left.until(/tts_data/)
  left.leave()
  await standIn.waitFor((call) => call === seen(SPOKEN)[1] && call.isLeft)
  t.pass('Flowise was left too')
})

t.test('so many at once', async (t) => {
  const { standIn, listen, user, speak } = await start(t)
  const url = `${await listen()}${URL}`
  const body = { chatflowId: echo, chatId: 'chat', chatMessageId: 'mine', text: 'hello' }
  standIn.always({ ...sse(START), end: 'open' }, SPOKEN)
  const wires = Array.from({ length: 5 }, () => open(url, { token: user.token, body }))
  await Promise.all(wires.map((wire) => wire.until(/tts_start/)))
  t.equal((await speak()).statusCode, 429)
  for (const wire of wires) wire.leave()
})
