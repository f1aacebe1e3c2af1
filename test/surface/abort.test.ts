import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { eventsOf, open, settled } from '../prediction/tools.ts'
import { openSurface } from './open.ts'

const { echo } = DEMO_IDS

t.setTimeout(300_000)

/** Ids as the widget makes them of what its page calls a customer, and how it writes them into an address: as they are. */
const CHAT_IDS = [
  '3f0c9f66-2f6d-4a3b-8f1c-6b7e9d0c3b02',
  'customer+3f0c9f66-2f6d-4a3b-8f1c-6b7e9d0c3b02',
  'a b@c.example+3f0c',
  'shop/42/anna+3f0c',
  'Zoë🙂+3f0c',
  "it's <b>&amp;+3f0c",
  'x'.repeat(512),
  '🙂'.repeat(256)
]

t.test('stop ends the stream of a chat with abort and end, whatever its id', async (t) => {
  const gateway = await openSurface(t)
  const { user, other, visitor, standIn, listen } = gateway
  const url = await listen()
  const token = await visitor('anna')
  const base = `${url}/e/${token}/api/v1`
  const stop = async (path: string, authorization?: string) => {
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization }
    const reply = await fetch(path, { method: 'PUT', headers })
    t.strictSame([reply.status, await reply.json()], [200, { status: 200, message: 'Chat message aborted' }], path)
  }
  for (const [index, chatId] of CHAT_IDS.entries()) {
    standIn.next({
      events: [
        ['start', ''],
        ['token', 'half'],
        ['token', 'never']
      ],
      gates: { 2: `never-${index}` }
    })
    const wire = open(`${base}/prediction/${echo}`, { body: { question: 'hi', chatId, streaming: true } })
    await wire.until(/half/)
    const path = `/chatmessage/abort/${echo}/${chatId}`
    // Neither another user's chat of this name, nor the owner's, nor another visitor's.
    await stop(`${url}/api/v1${path}`, `Bearer ${other.token}`)
    await stop(`${url}/api/v1${path}`, `Bearer ${user.token}`)
    await stop(`${url}/e/${await visitor('bert')}/api/v1${path}`)
    t.equal(standIn.aborts.length, index, 'it runs')
    await stop(`${base}${path}`)
    const events = eventsOf(await wire.ended)
    t.same(
      events.map(({ event }) => event),
      ['start', 'token', 'abort', 'end']
    )
    const asked = Object(standIn.predictions.at(-1)?.body)
    const abort = await standIn.waitFor(({ url: seen }) => seen.endsWith(`/${asked.chatId}`))
    t.equal(abort.url, `/api/v1/chatmessage/abort/${echo}/${asked.chatId}`, "Flowise's own id")
    standIn.gate(`never-${index}`).open()
  }
  await stop(`${base}/chatmessage/abort/${echo}/nothing-runs-here`)
  await settled(t, gateway, user.id)
})

t.test('a stop that Flowise gets before it has begun is said again, and leaves the next question alone', async (t) => {
  const gateway = await openSurface(t)
  const { user, standIn, listen } = gateway
  const url = `${await listen()}/api/v1`
  const authorization = `Bearer ${user.token}`
  const chatId = 'stopped-at-once'
  const ask = () =>
    open(`${url}/prediction/${echo}`, { headers: { authorization }, body: { question: 'hi', chatId, streaming: true } })
  standIn.next({ events: [['start', '']], gates: { 0: 'begin' } })
  const wire = ask()
  await standIn.gate('begin').reached
  await fetch(`${url}/chatmessage/abort/${echo}/${chatId}`, { method: 'PUT', headers: { authorization } })
  t.same(
    eventsOf(await wire.ended).map(({ event }) => event),
    ['abort', 'end']
  )
  standIn.gate('begin').open()
  await ask().ended
  await standIn.waitFor(() => standIn.aborts.length === 2)
  const [stopped, next] = standIn.predictions.map(({ body }) => Object(body).chatId)
  for (const { url: seen } of standIn.aborts) t.equal(seen, `/api/v1/chatmessage/abort/${echo}/${stopped}`)
  t.not(next, stopped)
})

t.test('stop without a right to is refused in JSON', async (t) => {
  const { request, standIn } = await openSurface(t)
  const reply = await request('PUT', `/api/v1/chatmessage/abort/${echo}/c`)
  t.equal(reply.statusCode, 401)
  t.match(reply.headers['content-type'], /^application\/json/)
  t.match(reply.json(), { code: 'not_authenticated', error: /^You are not signed in/ })
  t.equal(standIn.aborts.length, 0)
})
