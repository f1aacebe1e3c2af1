import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp } from '../helper.ts'
import { openTamperedStore } from './tampered-store.ts'
import { idle, open, settled, stored } from './tools.ts'

const { echo } = DEMO_IDS

for (const price of [1, 0])
  t.test(`clients that leave at any moment leave nothing behind, at a price of ${price}`, async (t) => {
    // A slow disk, so that a client can leave at every step before Flowise is called.
    const store = await openTamperedStore(t, () => pause(Math.random() * 4))
    const env = {
      DEFAULT_CREDITS: '1000',
      RATE_LIMIT_PER_MINUTE: '0',
      MAX_CONCURRENT_PER_USER: '20',
      RESUME_SECONDS: '0'
    }
    const gateway = await buildTestApp(t, {
      env: { ...env, DEFAULT_CHATFLOW_PRICE: String(price) },
      parts: { store }
    })
    const { app, request, createUser } = gateway
    const user = await createUser({ grants: [echo] })
    const url = await gateway.listen()
    const paths = ['/chat/predict', '/chat/predict/stream', `/api/v1/prediction/${echo}`]
    for (let round = 0; round < 15; round++) {
      const wires = Array.from({ length: 15 }, (_, n) => {
        const body = { chatflow_id: echo, question: 'hi', sessionId: `s-${n}` }
        return open(`${url}${paths[n % 3]}`, {
          token: user.token,
          body,
          headers: { 'idempotency-key': `${round}-${n}` }
        })
      })
      await Promise.all(
        wires.map(async (wire, n) => {
          // Between the first byte of the request and some time after the end, in small steps.
          await pause((n * 5 + round) % 60)
          wire.leave()
        })
      )
      while (app.exchanges.size > 0) {
        await idle(gateway)
        await pause(1)
      }
    }
    // Some were just arriving when they left, and others end behind their exchange: it is over when it stays so.
    const isOver = async () => {
      const running = (await stored(gateway).requests()).some(({ state }) => state === 'running')
      const held = (await stored(gateway).account(user.id))?.held ?? 0
      return !running && held === 0 && app.exchanges.size === 0
    }
    for (let times = 0; times < 50; times = (await isOver()) ? times + 1 : 0) await pause(10)
    await settled(t, gateway, user.id)
    const outcomes = (await stored(gateway).entries(user.id)).filter(({ kind }) => kind !== 'hold' && kind !== 'grant')
    const holds = (await stored(gateway).entries(user.id)).filter(({ kind }) => kind === 'hold')
    t.equal(outcomes.length, holds.length, 'each hold has one outcome')
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, n) => {
        const body = { chatflow_id: echo, question: 'hi', sessionId: `s-${n}` }
        return request('POST', '/api/v1/chat/predict', { token: user.token, body })
      })
    )
    t.same(
      replies.map(({ statusCode }) => statusCode),
      Array.from({ length: 20 }, () => 200),
      'every session is free and all of the room is there'
    )
    const requests = await stored(gateway).requests()
    t.same(
      requests.filter(({ state }) => state === 'running'),
      [],
      'no key hangs'
    )
  })

/** A gateway whose next write to `collection` waits until it is let go. */
async function startHeld(t: Test, collection: string) {
  const reached = Promise.withResolvers<void>()
  const released = Promise.withResolvers<void>()
  let isArmed = false
  const store = await openTamperedStore(t, async (name, kind) => {
    if (!isArmed || kind !== 'write' || name !== collection) return
    isArmed = false
    reached.resolve()
    await released.promise
  })
  const gateway = await buildTestApp(t, { env: { DEFAULT_CREDITS: '10', RESUME_SECONDS: '0' }, parts: { store } })
  const user = await gateway.createUser({ grants: [echo] })
  const url = await gateway.listen()
  const body = { chatflow_id: echo, question: 'hi', sessionId: 's' }
  const ask = () => gateway.request('POST', '/chat/predict', { token: user.token, body })
  /** A client leaves while the write is under way; resolves when the gateway knows. */
  async function leaveDuringWrite(): Promise<void> {
    await gateway.app.ledger.open(user.id, 10_000_000)
    isArmed = true
    const wire = open(`${url}/chat/predict/stream`, { token: user.token, body })
    await reached.promise
    const [exchange] = gateway.app.exchanges.values()
    wire.leave()
    await new Promise((resolve) => exchange?.whenEnded(() => resolve(undefined)))
  }
  return { ...gateway, user, ask, leaveDuringWrite, release: released.resolve }
}

t.test('who leaves while the credits are held leaves no session and owes nothing', async (t) => {
  const gateway = await startHeld(t, 'accounts')
  const { leaveDuringWrite, release, ask, user, standIn } = gateway
  await leaveDuringWrite()
  release()
  while ((await stored(gateway).entries(user.id)).filter(({ kind }) => kind === 'release').length === 0) await pause(1)
  t.same(await stored(gateway).sessions(), [])
  t.same(await stored(gateway).messages(), [])
  t.equal(standIn.predictions.length, 0)
  await settled(t, gateway, user.id)
  t.equal((await ask()).statusCode, 200)
})

t.test('who leaves while the question is stored keeps the session taken until it is', async (t) => {
  const gateway = await startHeld(t, 'sessions')
  const { leaveDuringWrite, release, ask, user, standIn } = gateway
  await leaveDuringWrite()
  t.equal((await ask()).json().code, 'session_busy')
  release()
  await settled(t, gateway, user.id)
  t.match(await stored(gateway).messages('s'), [{ role: 'user', status: 'failed' }])
  t.equal(standIn.predictions.length, 0)
  t.equal((await ask()).statusCode, 200)
})
