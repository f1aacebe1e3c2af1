import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { startInstances } from '../bus/instances.ts'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { open, settled, stored, textOf } from '../prediction/tools.ts'
import { type RedisServer, withRedis } from '../servers/redis.ts'
import { heard, lastIdOf, messageIdOf, resumer, untilIdle, wholeEvents } from './resume.ts'

t.setTimeout(300_000)

const { echo } = DEMO_IDS
const HALVES = [
  ['token', 'half'],
  ['token', ' rest']
] as const

async function start(t: Test, redis: RedisServer, env: Record<string, string> = {}) {
  const { one, other, gateway } = await startInstances(t, redis, { RATE_LIMIT_PER_MINUTE: '0', ...env })
  const user = await gateway.createUser({ grants: [echo] })
  const [here, there] = await Promise.all([gateway.listen(), other.app.listen({ host: '127.0.0.1', port: 0 })])
  return {
    ...gateway,
    one,
    other,
    user,
    there,
    /** Asks one instance. */
    stream: (sessionId = 's') =>
      open(`${here}/api/v1/chat/predict/stream`, {
        token: user.token,
        body: { chatflow_id: echo, question: 'hi', sessionId }
      }),
    /** Follows on the other. */
    resume: resumer(there, user.token)
  }
}

void withRedis(t, 'a stream is followed on another instance', async (t, redis) => {
  const gateway = await start(t, redis)
  const { standIn, stream, resume, user, one } = gateway
  standIn.next({ events: HALVES, gates: { 1: 'middle' } })
  const first = stream()
  const before = await first.until(/half/)
  const messageId = messageIdOf(before)
  const followers = [resume(messageId, { after: lastIdOf(before) }), resume(messageId), resume('', { session: 's' })]
  for (const follower of followers.slice(1)) await follower.until(/half/)
  while (one.app.liveStreams.followers < 3) await pause(1)
  first.leave()
  standIn.gate('middle').open()
  const [rest, ...wholes] = await Promise.all(followers.map(({ ended }) => ended))
  t.equal(heard(before, rest ?? ''), 'half rest')
  t.same(wholes, [before + rest, before + rest], 'byte for byte')
  t.same(
    wholeEvents(before + rest).map(({ id }) => id),
    ['1', '2', '3', '4', '5']
  )
  await untilIdle(gateway)
  t.equal(one.app.liveStreams.followers, 0)
  t.equal((await resume(messageId, { after: lastIdOf(rest ?? '') }).head).status, 204)
  t.equal(textOf(await resume(messageId).ended), 'half rest', 'and told again from the history')
  t.equal((await resume('', { session: 's' }).head).status, 204)
  t.same(await stored(gateway).charges(user.id), [1_000_000])
  await settled(t, gateway, user.id)
})

void withRedis(t, 'a long answer is followed whole, whoever comes when', async (t, redis) => {
  const gateway = await start(t, redis)
  const { standIn, stream, resume, user } = gateway
  const words = Array.from({ length: 3000 }, (_, n) => ['token', `${n}-${'x'.repeat(n % 200)} `] as const)
  standIn.next({ events: words, gates: { 1000: 'a', 2000: 'b', 2900: 'c' } })
  const first = stream()
  const messageId = messageIdOf(await first.until(/"999-/))
  const followers = [resume(messageId)]
  for (const [gate, word] of [
    ['a', '1999-'],
    ['b', '2899-']
  ] as const) {
    standIn.gate(gate).open()
    await followers[0]?.until(new RegExp(`"${word}`))
    followers.push(resume(messageId))
  }
  await followers.at(-1)?.until(/2899-/)
  standIn.gate('c').open()
  const text = words.map(([, word]) => word).join('')
  for (const follower of [first, ...followers]) t.ok(textOf(await follower.ended) === text)
  await settled(t, gateway, user.id)
})

void withRedis(t, 'nobody else is told of it, and it is left in time', async (t, redis) => {
  const gateway = await start(t, redis, { RESUME_SECONDS: '0.3' })
  const { standIn, stream, resume, user, createUser, there } = gateway
  const stranger = resumer(there, (await createUser({ grants: [echo] })).token)
  standIn.next({ events: HALVES, gates: { 1: 'middle' } })
  const first = stream()
  const messageId = messageIdOf(await first.until(/half/))
  t.equal((await stranger(messageId).head).status, 404)
  t.equal((await stranger('', { session: 's' }).head).status, 404)
  const second = resume(messageId)
  await second.until(/half/)
  first.leave()
  await pause(500)
  t.equal(standIn.aborts.length, 0, 'somebody is there, elsewhere')
  second.leave()
  await standIn.waitFor(({ method }) => method === 'PUT')
  await untilIdle(gateway)
  t.match(await stored(gateway).messages('s'), [{ role: 'user' }, { content: 'half', status: 'incomplete' }])
  await settled(t, gateway, user.id)
})

void withRedis(t, 'one that cannot be followed is told to be running, on both', async (t, redis) => {
  const gateway = await start(t, redis)
  const { standIn, request, user, other, one } = gateway
  standIn.next({ gates: { head: 'here' } })
  const body = { chatflow_id: echo, question: 'hi', sessionId: 's' }
  const running = request('POST', '/api/v1/chat/predict', { token: user.token, body })
  await standIn.gate('here').reached
  const [exchange] = one.app.exchanges.values()
  for (const instance of [one, other]) {
    const reply = await instance.request('GET', `/api/v1/chat/streams/${exchange?.messageId}`, { token: user.token })
    t.same([reply.statusCode, reply.json().code], [409, 'request_in_progress'])
    t.ok(Number(reply.headers['retry-after']) >= 1)
  }
  standIn.gate('here').open()
  t.equal((await running).statusCode, 200)
  const told = await other.request('GET', `/api/v1/chat/streams/${exchange?.messageId}`, { token: user.token })
  t.equal(textOf(told.body), 'Hello from Flowise 🙂')
})

void withRedis(t, 'who asks for what nobody has is answered, twenty at a time', async (t, redis) => {
  const { request, user, other } = await start(t, redis)
  const ask = async (path: string) => {
    const reply = await other.request('GET', `/api/v1/chat/${path}`, { token: user.token })
    return `${reply.statusCode} ${reply.json().code}`
  }
  const told = await Promise.all(Array.from({ length: 30 }, (_, n) => ask(`streams/unknown-${n}`)))
  const count = (answer: string) => told.filter((one) => one === answer).length
  t.same([count('404 message_not_found'), count('429 too_many_followers')], [20, 10])
  t.equal(await ask('streams/unknown'), '404 message_not_found', 'and again afterwards')
  t.equal((await request('GET', '/api/v1/chat/credits', { token: user.token })).statusCode, 200)
})

void withRedis(
  t,
  'the instance that a client follows at is shut down: the client may go elsewhere',
  async (t, redis) => {
    const gateway = await start(t, redis)
    const { standIn, stream, resume, user, other, one } = gateway
    standIn.next({ events: HALVES, gates: { 1: 'middle' } })
    const first = stream()
    const before = await first.until(/half/)
    const second = resume(messageIdOf(before))
    await second.until(/half/)
    await other.app.close()
    t.notMatch(await second.ended, /event: end/)
    while (one.app.liveStreams.followers > 0) await pause(5)
    standIn.gate('middle').open()
    t.equal(textOf(await first.ended), 'half rest')
    await settled(t, gateway, user.id)
  }
)

void withRedis(t, 'the instance that has the run falls silent: its followers are cut off', async (t, redis) => {
  const gateway = await start(t, redis)
  const { standIn, stream, resume, one } = gateway
  standIn.next({ events: HALVES, gates: { 1: 'middle' } })
  const first = stream()
  const second = resume(messageIdOf(await first.until(/half/)))
  await second.until(/half/)
  // As a process that was killed: it says nothing any more.
  await one.bus.bus.close()
  t.notMatch(await second.ended, /event: end/)
  standIn.gate('middle').open()
  t.equal(textOf(await first.ended), 'half rest')
})

void withRedis(
  t,
  'Redis goes: who follows elsewhere is cut off without an end, and the run is not harmed',
  async (t, redis) => {
    const gateway = await start(t, redis, { RESUME_SECONDS: '60' })
    const { standIn, stream, resume, user, other, one } = gateway
    standIn.next({ events: HALVES, gates: { 1: 'middle' } })
    const first = stream()
    const before = await first.until(/half/)
    const second = resume(messageIdOf(before))
    await second.until(/half/)
    await redis.stop()
    t.notMatch(await second.ended, /event: end/)
    await Promise.all([one.bus.when(false), other.bus.when(false)])
    first.leave()
    t.equal((await resume(messageIdOf(before)).head).status, 409, 'it is known to run, and cannot be reached')
    await redis.restart()
    await Promise.all([one.bus.when(true), other.bus.when(true)])
    const third = resume(messageIdOf(before), { after: lastIdOf(before) })
    while (one.app.liveStreams.followers === 0) await pause(5)
    standIn.gate('middle').open()
    t.equal(heard(before, await third.ended), 'half rest')
    await untilIdle(gateway)
    t.same(await stored(gateway).charges(user.id), [1_000_000])
    await settled(t, gateway, user.id)
  },
  { control: true }
)
