import { setTimeout as pause } from 'node:timers/promises'
import * as fc from 'fast-check'
import t, { type Test } from 'tap'
import { startInstances } from '../bus/instances.ts'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import type { TestApp } from '../helper.ts'
import { settled, stored } from '../prediction/tools.ts'
import { withRedis } from '../servers/redis.ts'
import { startResumable, untilIdle } from './resume.ts'
import { finish, outcomeOf, type Played, plans, play, type Stage } from './schedule.ts'

t.setTimeout(300_000)

const AT_ONCE = 8
const ROUNDS = Number(process.env.STREAMS_ROUNDS ?? 12)
const SEED = Number(process.env.STREAMS_SEED ?? Math.floor(Math.random() * 2 ** 30))
const ENV = { RESUME_SECONDS: '0.2', STREAM_IDLE_TIMEOUT_MS: '700', FIRST_BYTE_TIMEOUT_MS: '700' }

/** Everybody who has heard all of it has what the history has, which is what Flowise said. */
async function check(gateway: Pick<TestApp, 'app'>, { sessionId, said, readers }: Played): Promise<string[]> {
  const [question, answer] = await stored(gateway).messages(sessionId)
  const content = answer?.content ?? ''
  const flaws = [
    question === undefined && readers.some((reader) => outcomeOf(reader).text !== '') ? 'no question' : '',
    answer?.part === undefined ? '' : 'a part is left',
    said.startsWith(content) ? '' : `history has "${content}"`,
    answer?.status !== 'complete' || content === said ? '' : 'complete, and is not'
  ]
  for (const reader of readers) {
    const { text, last, ends } = outcomeOf(reader)
    if (!content.startsWith(text)) flaws.push(`"${text}" was told, "${content}" is kept`)
    if (last === 'end' && text !== content) flaws.push(`ended with "${text}", "${content}" is kept`)
    if (ends > 1) flaws.push(`${ends} ends`)
  }
  return flaws.filter((flaw) => flaw !== '').map((flaw) => `${sessionId}: ${flaw}`)
}

/** Each hold has one outcome, and what was delivered is charged once. */
async function checkMoney(t: Test, gateway: Pick<TestApp, 'app'>, userId: string): Promise<void> {
  await settled(t, gateway, userId)
  const entries = await stored(gateway).entries(userId)
  const ended = entries.filter(({ id }) => id.endsWith(':T')).map(({ requestId }) => requestId)
  const held = entries.filter(({ id }) => id.endsWith(':R')).map(({ requestId }) => requestId)
  t.same(ended.toSorted(), held.toSorted(), 'settled exactly once')
  const messages = await stored(gateway).messages()
  const answered = messages.filter(({ role, content }) => role === 'assistant' && content !== '')
  t.equal((await stored(gateway).charges(userId)).length, answered.length, 'one charge for each answer')
}

async function run(t: Test, gateway: Pick<TestApp, 'app'>, stage: Stage, rounds: number): Promise<Played[]> {
  const all: Played[] = []
  for (let round = 0; round < rounds; round++) {
    const seed = SEED + round
    const chosen = fc.sample(plans, { numRuns: AT_ONCE, seed })
    const played = await Promise.all(chosen.map((plan, n) => play(stage, plan, `r${round}-${n}`)))
    await untilIdle(gateway)
    all.push(...played)
    await Promise.all(played.map((one) => finish(stage, one)))
    const flaws = (await Promise.all(played.map((one) => check(gateway, one)))).flat()
    t.same(flaws, [], `STREAMS_SEED=${seed}`)
  }
  return all
}

t.test('whoever leaves and comes when, whatever Flowise does: told, kept and paid are the same', async (t) => {
  const gateway = await startResumable(t, ENV)
  const { standIn, request, user, url, app } = gateway
  await run(t, gateway, { standIn, request, token: user.token, urls: [url] }, ROUNDS)
  while (app.liveStreams.followers > 0) await pause(5)
  await checkMoney(t, gateway, user.id)
})

t.test('and in a drain', async (t) => {
  const gateway = await startResumable(t, { ...ENV, DRAIN_SECONDS: '0.2' })
  const { standIn, request, user, url, app } = gateway
  const stage = { standIn, request, token: user.token, urls: [url] }
  const chosen = fc.sample(plans, { numRuns: 3 * AT_ONCE, seed: SEED })
  const playing = chosen.map((plan, n) => play(stage, plan, `d-${n}`))
  await pause(100)
  await app.lifecycle.beginDrain()
  const played = await Promise.all(playing)
  await Promise.all(played.map((one) => finish(stage, one)))
  t.same((await Promise.all(played.map((one) => check(gateway, one)))).flat(), [])
  await checkMoney(t, gateway, user.id)
})

void withRedis(t, 'and on two instances', async (t, redis) => {
  const { other, gateway } = await startInstances(t, redis, {
    ...ENV,
    RATE_LIMIT_PER_MINUTE: '0',
    MAX_CONCURRENT_PER_USER: '50'
  })
  const user = await gateway.createUser({ grants: [DEMO_IDS.echo] })
  const urls = await Promise.all([gateway.listen(), other.app.listen({ host: '127.0.0.1', port: 0 })])
  const { standIn, request } = gateway
  await run(t, gateway, { standIn, request, token: user.token, urls }, ROUNDS)
  await checkMoney(t, gateway, user.id)
})
