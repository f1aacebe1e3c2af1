import { setTimeout as pause } from 'node:timers/promises'
import { Agent, request as send } from 'node:http'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { settled, stored, textOf } from '../prediction/tools.ts'
import { heard, lastIdOf, messageIdOf, startResumable, untilIdle } from './resume.ts'

t.setTimeout(300_000)

const MIB = 1_048_576
/** What of the heap is in use when all garbage is gone. */
function inUse(): number {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  collect()
  return process.memoryUsage().heapUsed
}
const HALVES = [
  ['token', 'half'],
  ['token', ' rest']
] as const

t.test('ten thousand want to follow one stream: twenty do, the others are told', async (t) => {
  const gateway = await startResumable(t)
  const { standIn, stream, resume, user, url, app } = gateway
  standIn.next({ events: HALVES, gates: { 1: 'middle' } })
  const first = stream()
  const before = await first.until(/half/)
  const messageId = messageIdOf(before)
  const followers = Array.from({ length: 20 }, () => resume(messageId))
  for (const follower of followers) await follower.until(/half/)
  const memory = inUse()
  const agent = new Agent({ keepAlive: true, maxSockets: 50 })
  t.teardown(() => agent.destroy())
  const path = `${url}/api/v1/chat/streams/${messageId}`
  const statuses = new Map<string, number>()
  const ask = () =>
    new Promise<void>((resolve, reject) => {
      const asked = send(path, { agent, headers: { authorization: `Bearer ${user.token}` } }, (reply) => {
        const key = `${reply.statusCode} ${reply.headers['retry-after']}`
        statuses.set(key, (statuses.get(key) ?? 0) + 1)
        reply.resume().on('end', resolve)
      })
      asked.on('error', reject).end()
    })
  for (let round = 0; round < 100; round++) await Promise.all(Array.from({ length: 100 }, ask))
  t.same([...statuses], [['429 1', 10_000]])
  t.ok(inUse() - memory < 50 * MIB)
  followers[0]?.leave()
  while (app.liveStreams.followers === 20) await pause(1)
  const late = resume(messageId, { after: lastIdOf(before) })
  t.equal((await late.head).status, 200, 'there is a place again')
  standIn.gate('middle').open()
  t.equal(textOf(await first.ended), 'half rest')
  t.equal(heard(before, await late.ended), 'half rest')
  while (app.liveStreams.followers > 0) await pause(1)
  t.same(await stored(gateway).charges(user.id), [1_000_000])
  await settled(t, gateway, user.id)
})

t.test('one client that leaves and comes back a thousand times', async (t) => {
  const gateway = await startResumable(t, { RESUME_SECONDS: '5' })
  const { standIn, stream, resume, user, app } = gateway
  standIn.next({ events: HALVES, gates: { 1: 'middle' } })
  const first = stream()
  const before = await first.until(/half/)
  first.leave()
  for (let n = 0; n < 1000; n++) {
    const wire = resume(messageIdOf(before))
    if (n % 10 === 0) await wire.until(/half/)
    else await pause(0)
    wire.leave()
  }
  const last = resume(messageIdOf(before), { after: lastIdOf(before) })
  // Those that left are noticed a moment later.
  while (app.liveStreams.followers > 1) await pause(1)
  standIn.gate('middle').open()
  const { status } = await last.head
  t.match([200, 429], [200], 'sanity')
  t.ok(status === 200 || status === 429)
  await untilIdle(gateway)
  t.match((await stored(gateway).messages())[1], { content: 'half rest', status: 'complete' })
  await settled(t, gateway, user.id)
})

t.test('what has ended holds no more than the room there is', async (t) => {
  const gateway = await startResumable(t, { RESUME_BUFFER_MB: '4' })
  const { standIn, stream, app } = gateway
  const token = 'x'.repeat(1000)
  standIn.always({ events: Array.from({ length: 500 }, () => ['token', token] as const) })
  const round = () => Promise.all(Array.from({ length: 10 }, () => stream().ended))
  const heap = () => {
    standIn.requests.splice(0, standIn.requests.length)
    return inUse()
  }
  await round()
  const before = heap()
  for (let n = 0; n < 4; n++) {
    await round()
    t.ok(app.liveStreams.keptBytes <= 4 * MIB)
  }
  const grown = heap() - before
  t.ok(grown < 8 * MIB, `${Math.round(grown / 1024)} KiB more after forty answers of 500 kB`)
})

t.test('followers that never read hold nothing up and hold little', async (t) => {
  const gateway = await startResumable(t, { MAX_ANSWER_MB: '100' })
  const { standIn, stream, url, user, app } = gateway
  const token = 'x'.repeat(MIB / 16)
  standIn.next({ events: Array.from({ length: 400 }, () => ['token', token] as const), gates: { 1: 'middle' } })
  const first = stream()
  const messageId = messageIdOf(await first.until(/xxx/))
  const followers = Array.from({ length: 20 }, () => {
    const asked = send(`${url}/api/v1/chat/streams/${messageId}`, {
      headers: { authorization: `Bearer ${user.token}` }
    })
    // The head, and nothing of what follows.
    asked.on('response', (reply) => void reply.pause())
    asked.on('error', () => {})
    asked.end()
    return asked
  })
  while (app.liveStreams.followers < 20) await pause(1)
  const memory = inUse()
  standIn.gate('middle').open()
  t.equal(textOf(await first.ended).length, 400 * token.length)
  t.ok(inUse() - memory < 150 * MIB, 'of 20 times 25 MiB')
  t.ok(app.liveStreams.keptBytes < MIB)
  for (const follower of followers) follower.destroy()
  await settled(t, gateway, user.id)
})

t.test('ids of events that are none, and streams that are none', async (t) => {
  const gateway = await startResumable(t)
  const { stream, request, user, createUser } = gateway
  const text = await stream({ sessionId: 's' }).ended
  const messageId = messageIdOf(text)
  const get = (path: string, headers: Record<string, string> = {}, token = user.token) =>
    request('GET', `/api/v1/chat/${path}`, { token, headers })
  const BAD = ['-1', 'x', '1.5', '1e3', '0x1', ' ', '١', '9'.repeat(16), '9'.repeat(10_000), '1, 2', "1'--"]
  for (const id of BAD) {
    const encoded = encodeURIComponent(id)
    if (id.length < 8000 && /^[\x21-\x7e]/.test(id)) {
      const reply = await get(`streams/${messageId}`, { 'last-event-id': id })
      t.same([reply.statusCode, reply.json().code], [422, 'validation_error'], id)
      t.ok(reply.body.length < 1000)
    }
    const reply = await get(`streams/${messageId}?last_event_id=${encoded}`)
    t.same([reply.statusCode, reply.json().code], [422, 'validation_error'], `query ${id.slice(0, 20)}`)
    t.ok(reply.body.length < 1000)
  }
  for (const id of ['0', '00', '999', '999999999999999']) {
    const reply = await get(`streams/${messageId}`, { 'last-event-id': id })
    t.equal(reply.body, text, `${id}: it begins again`)
  }
  t.equal((await get(`streams/${messageId}?last_event_id=2`)).body, text.slice(text.indexOf('id: 3')))
  const both = await get(`streams/${messageId}?last_event_id=2`, { 'last-event-id': lastIdOf(text) ?? '' })
  t.equal(both.statusCode, 204, 'the header goes before the query')

  const other = await createUser({ grants: [DEMO_IDS.echo] })
  for (const id of [messageId, 'unknown', 'x'.repeat(200), '%00', "';--", '__proto__', `${messageId}%0a`]) {
    const reply = await get(`streams/${id}`, {}, id === messageId ? other.token : user.token)
    t.same([reply.statusCode, reply.json().code], [404, 'message_not_found'], id)
  }
  t.equal((await get('sessions/s/stream', {}, other.token)).statusCode, 404)
  t.equal((await get('sessions/unknown/stream')).statusCode, 404)
  t.equal((await request('GET', `/api/v1/chat/streams/${messageId}`)).statusCode, 401)
  t.equal((await request('HEAD', `/api/v1/chat/streams/${messageId}`, { token: user.token })).statusCode, 404)
})
