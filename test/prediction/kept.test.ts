import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createLedger } from '../../src/credits/ledger.ts'
import { AppError } from '../../src/errors.ts'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { createIds } from '../../src/ids.ts'
import type { HoldState } from '../../src/store/collections.ts'
import { createFakeClock } from '../clock.ts'
import { buildTestApp } from '../helper.ts'
import type { Fault } from '../stand-in/flowise.ts'
import { openTamperedStore } from './tampered-store.ts'
import { open, settled, stored } from './tools.ts'

const RENEWAL_MS = 15_000
const LEASE_MS = 60_000
const SLOW: Fault = {
  events: [
    ['token', 'one'],
    ['token', ' two'],
    ['token', ' three']
  ],
  gates: { 1: 'second', 2: 'third' }
}

/** A gateway with a clock of the test, and a stream that has had its first token. */
async function start(t: Test) {
  const down = new Set<string>()
  const store = await openTamperedStore(t, async (collection, kind) => {
    if (kind === 'write' && down.has(collection)) throw new AppError('store_unavailable')
  })
  const clock = createFakeClock(Date.now())
  const gateway = await buildTestApp(t, { clock, env: { DEFAULT_CREDITS: '10' }, parts: { store } })
  const user = await gateway.createUser({ grants: [DEMO_IDS.echo] })
  gateway.standIn.next(SLOW)
  const wire = open(`${await gateway.listen()}/chat/predict/stream`, {
    token: user.token,
    body: { chatflow_id: DEMO_IDS.echo, question: 'hi', sessionId: 's' }
  })
  await wire.until(/one/)
  const books = stored(gateway)
  const hold = async () => Object.values((await books.account(user.id))?.holds ?? {})[0]
  /** The next renewal, to its end: it is the only one that writes to the account. */
  const renew = async (isDone: (hold: HoldState) => boolean) => {
    clock.advance(RENEWAL_MS)
    for (let held = await hold(); held && !isDone(held); held = await hold()) await pause(5)
  }
  const answers = async () => (await books.messages('s')).filter(({ role }) => role === 'assistant')
  return { ...gateway, down, store, clock, user, wire, books, hold, renew, answers }
}

t.test('what a renewal records as used is in the history, and an expiry names it', async (t) => {
  const gateway = await start(t)
  const { store, clock, standIn, user, wire, books, hold, renew, answers } = gateway
  t.match(await hold(), { used: 0 })
  await renew(({ used }) => used > 0)
  t.match(await answers(), [{ content: 'one', status: 'incomplete', part: 1 }])
  standIn.gate('second').open()
  await wire.until(/two/)
  const before = (await hold())?.expiresAt ?? 0
  await renew(({ expiresAt }) => expiresAt > before)
  t.match(await answers(), [{ content: 'one two', status: 'incomplete', part: 2 }])

  // Another process whose clock is past the lease, as after the death of this one.
  const late = { ...clock, now: () => clock.now() + LEASE_MS + RENEWAL_MS }
  const sweeping = createLedger({ store, clock: late, ids: createIds(), maxHolds: 50, leaseMs: LEASE_MS })
  t.equal(await sweeping.expireDue(), 1)
  const [message] = await answers()
  const charge = (await books.entries(user.id)).find(({ kind }) => kind === 'charge')
  t.match(charge, { delta: -1_000_000, meta: { ending: 'expired', sessionId: 's', messageId: message?.id } })

  standIn.gate('third').open()
  await wire.ended
  t.same(await books.charges(user.id), [1_000_000])
  const [whole, ...others] = await answers()
  t.match(whole, { id: message?.id, content: 'one two three', status: 'complete' })
  t.notOk(whole && 'part' in whole)
  t.same(others, [])
  t.match(await books.sessions(), [{ messageCount: 2, isUnclean: false }])
  await settled(t, gateway, user.id)
})

t.test('a renewal that cannot store the answer keeps the lease and records nothing as used', async (t) => {
  const gateway = await start(t)
  const { down, standIn, user, wire, books, hold, renew, answers } = gateway
  const before = (await hold())?.expiresAt ?? 0
  down.add('sessions')
  await renew(({ expiresAt }) => expiresAt > before)
  t.match(await hold(), { used: 0 })
  down.clear()
  await renew(({ used }) => used > 0)
  t.match(await answers(), [{ content: 'one', status: 'incomplete' }])
  standIn.gate('second').open()
  standIn.gate('third').open()
  await wire.ended
  t.match(await answers(), [{ content: 'one two three', status: 'complete' }])
  t.same(await books.charges(user.id), [1_000_000])
  await settled(t, gateway, user.id)
})
