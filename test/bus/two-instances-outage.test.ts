import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { settled, stored } from '../prediction/tools.ts'
import { until } from '../contract/bus.ts'
import { withRedis } from '../servers/redis.ts'
import type { SeenRequest } from '../stand-in/flowise.ts'
import { type Instance, startInstances } from './instances.ts'

// On a busy machine the starts and the logins take long.
t.setTimeout(300_000)

const { echo } = DEMO_IDS
const PREDICT = '/api/v1/chat/predict'
const control = { control: true }

async function ask({ request }: Instance, token: string, sessionId?: string): Promise<string> {
  const session = sessionId === undefined ? {} : { sessionId }
  const reply = await request('POST', PREDICT, { token, body: { chatflow_id: echo, question: 'hi', ...session } })
  return reply.statusCode === 200 ? 'ok' : JSON.parse(reply.body).code
}

const away = (...instances: Instance[]) => Promise.all(instances.map(({ bus }) => bus.when(false)))
const back = (...instances: Instance[]) => Promise.all(instances.map(({ bus }) => bus.when(true)))

const idsIn = (seen: SeenRequest | undefined) => {
  const { chatId, overrideConfig } = Object(seen?.body)
  return { chatId: String(chatId), sessionId: String(Object(overrideConfig).sessionId) }
}

void withRedis(
  t,
  'without Redis two runs of one session never share a chatId, and the books are right',
  async (t, redis) => {
    const { one, other, gateway } = await startInstances(t, redis)
    const { standIn } = gateway
    const user = await gateway.createUser({ grants: [echo] })
    t.equal(await ask(one, user.token, 's'), 'ok')
    await redis.stop()
    await away(one, other)

    standIn.next({ gates: { head: 'here' } })
    const first = ask(one, user.token, 's')
    await standIn.gate('here').reached
    t.equal(await ask(one, user.token, 's'), 'session_busy', 'the same process still knows')
    t.equal(await ask(other, user.token, 's'), 'ok', 'another one does not')
    const [before, during] = standIn.predictions.slice(-2).map(idsIn)
    t.equal(during?.sessionId, before?.sessionId)
    t.not(during?.chatId, before?.chatId)
    standIn.gate('here').open()
    t.equal(await first, 'ok')
    t.equal((await stored(gateway).messages('s')).length, 6)
    t.same(await stored(gateway).charges(user.id), [1_000_000, 1_000_000, 1_000_000])

    const sent = standIn.predictions.length
    standIn.always({ gates: { head: 'all' } })
    let answered = 0
    const replies = [one, other].flatMap((instance) =>
      Array.from({ length: 10 }, () => ask(instance, user.token, 'new').finally(() => answered++))
    )
    // Each has been refused, or waits at Flowise.
    await until(() => answered + standIn.predictions.length - sent === 20)
    standIn.gate('all').open()
    const codes = await Promise.all(replies)
    const ran = codes.filter((code) => code === 'ok').length
    t.equal(standIn.predictions.length, sent + ran)
    t.ok(ran === 1 || ran === 2, `${ran} ran, one after the other has begun`)
    t.equal(codes.filter((code) => code === 'session_busy').length, 20 - ran)
    t.equal((await stored(gateway).messages('new')).length, 2 * ran)
    const chatIds = standIn.predictions.slice(sent).map((seen) => idsIn(seen).chatId)
    t.equal(new Set(chatIds).size, ran)
    await settled(t, { app: one.app }, user.id)
    await settled(t, { app: other.app }, user.id)
    t.equal((await stored(gateway).charges(user.id)).length, 3 + ran)
  },
  control
)

void withRedis(
  t,
  'a run keeps its session and its place through an outage, also when Redis comes back empty',
  async (t, redis) => {
    const { one, other, gateway } = await startInstances(t, redis, { MAX_CONCURRENT_PER_USER: '1' })
    const { standIn } = gateway
    const user = await gateway.createUser({ grants: [echo] })
    standIn.next({ gates: { head: 'here' } })
    const running = ask(one, user.token, 's')
    await standIn.gate('here').reached
    await redis.stop()
    await away(one, other)
    await redis.restart()
    await back(one, other)
    t.equal(await ask(other, user.token, 's'), 'session_busy')
    t.equal(await ask(other, user.token), 'too_many_predictions')
    standIn.gate('here').open()
    t.equal(await running, 'ok')
    t.equal(await ask(other, user.token, 's'), 'ok', 'and both are free afterwards')
    await settled(t, gateway, user.id)
  },
  control
)

void withRedis(
  t,
  'without Redis each process limits by itself',
  async (t, redis) => {
    const { one, other, gateway } = await startInstances(t, redis, { RATE_LIMIT_PER_MINUTE: '3' })
    const user = await gateway.createUser({ grants: [echo] })
    t.equal(await ask(one, user.token), 'ok')
    t.equal(await ask(other, user.token), 'ok')
    await redis.stop()
    await away(one, other)
    t.same([await ask(one, user.token), await ask(one, user.token)], ['ok', 'ok'])
    t.equal(await ask(one, user.token), 'rate_limited')
    t.equal(await ask(other, user.token), 'ok', 'it goes on from the two it has heard of')
    t.equal(await ask(other, user.token), 'rate_limited')
    await settled(t, gateway, user.id)
  },
  control
)
