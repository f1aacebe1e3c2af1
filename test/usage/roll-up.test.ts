import t from 'tap'
import type { LedgerEntryRow } from '../../src/store/collections.ts'
import type { Collection, Document, Store } from '../../src/store/port.ts'
import type { FreeRunRow, UsageRow, UsageSegmentRow } from '../../src/store/usage-rows.ts'
import { createFreeRuns } from '../../src/usage/free-runs.ts'
import { openTestLedger } from '../credits/open.ts'
import { chargedIn, openUsage, pay } from './open.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

async function open(test: Parameters<typeof openTestLedger>[0]) {
  const parts = openTestLedger(test)
  await parts.ledger.open('a', 1_000_000)
  await parts.ledger.open('b', 1_000_000)
  const usage = openUsage(parts)
  const marks = () => parts.store.collection<UsageSegmentRow>('usage_segments').list({ limit: 1000 })
  const rows = () => parts.store.collection<UsageRow>('usage_rows').list({ limit: 1000 })
  /** To the beginning of the next hour that is at this hour of the day. */
  const advanceTo = (hour: number) => {
    const now = parts.clock.now()
    const next = Math.floor(now / DAY) * DAY + hour * HOUR
    parts.clock.advance((next > now ? next : next + DAY) - now)
  }
  return { ...parts, ...usage, marks, rows, advanceTo }
}

t.test('hours are added up after an hour, days after six, and a report is the same at every moment', async (t) => {
  const { ledger, clock, store, advanceTo, rollUp, report, totals, marks } = await open(t)
  advanceTo(0)
  const day = new Date(clock.now()).toISOString().slice(0, 10)
  const seen: unknown[] = []
  for (let hour = 0; hour < 24; hour++) {
    await pay(ledger, { userId: hour % 2 ? 'a' : 'b', inputTokens: 2, outputTokens: 1, totalTokens: 3 }, hour)
    clock.advance(HOUR)
    await rollUp.run()
    t.match(await totals(), {
      predictions: hour + 1,
      chargedMicro: await chargedIn(store),
      totalTokens: 3 * (hour + 1)
    })
  }
  const named = (await marks()).map(({ id }) => id)
  t.equal(named.length, 23, 'all hours but the last one, whose hour of grace is not over')
  for (const hours of [1, 5, 1, 24, 24, 24]) {
    clock.advance(hours * HOUR)
    await rollUp.run()
    seen.push(await report(['day', 'user', 'chatflow', 'key'], { from: day, to: day }))
  }
  for (const again of seen) t.same(again, seen[0])
  t.match(seen[0], [
    { day, userId: 'a', chatflowId: 'f', keyId: null, counts: { predictions: 12, chargedMicro: 144, inputTokens: 24 } },
    { day, userId: 'b', chatflowId: 'f', keyId: null, counts: { predictions: 12, chargedMicro: 132, completed: 12 } }
  ])
  const left = (await marks()).map(({ id }) => id).filter((id) => id.startsWith(day))
  t.same(left, [day], 'the hours of a day go when the day is there')
})

t.test('a round that is cut short leaves nothing that counts, and the next one does it again', async (t) => {
  const { ledger, clock, store, advanceTo, marks, totals, rollUp } = await open(t)
  advanceTo(0)
  const day = new Date(clock.now()).toISOString().slice(0, 10)
  for (let i = 0; i < 5; i++) await pay(ledger, { chatflowId: `f${i}` }, 10)
  clock.advance(2 * DAY)
  const first = openUsage({ store, clock })
  const failing = { ...store, collection: failOn(store, day) }
  await t.rejects(openUsage({ store: failing, clock }).rollUp.run(), /no mark/)
  t.notOk((await marks()).some(({ id }) => id === day))
  t.equal((await store.collection('usage_rows').list({ limit: 10 })).length, 5, 'rows without their mark')
  t.match(await totals(), { predictions: 5, chargedMicro: 50 }, 'are not counted')
  first.stop()
  t.equal(await first.rollUp.run(), 0)
  t.ok((await rollUp.run()) > 0)
  t.match(await totals(), { predictions: 5, chargedMicro: 50 })
  await Promise.all([openUsage({ store, clock }).rollUp.run(), openUsage({ store, clock }).rollUp.run()])
  t.match(await totals(), { predictions: 5, chargedMicro: 50 }, 'two at once do no harm')
})

t.test('what lands late is in the report, at the latest when the day is looked at again', async (t) => {
  const { ledger, clock, store, advanceTo, totals, rollUp } = await open(t)
  advanceTo(12)
  await pay(ledger, {}, 10)
  const late = async (id: string, at: number) => {
    const meta = { ending: 'completed', chatflowId: 'f' }
    const entry = {
      id,
      accountId: 'a',
      kind: 'charge',
      delta: -5,
      isPosting: true,
      requestId: id,
      attempt: 'x',
      at,
      meta
    }
    await store.collection<LedgerEntryRow>('ledger_entries').insert(entry as LedgerEntryRow)
  }
  const noon = clock.now()
  clock.advance(HOUR)
  await late('one', noon + 1)
  await rollUp.run()
  t.match(await totals(), { chargedMicro: 15 }, 'within the grace of its hour')
  clock.advance(2 * HOUR)
  await rollUp.run()
  await late('two', noon + 2)
  clock.advance(DAY)
  await rollUp.run()
  t.match(await totals(), { chargedMicro: 20 }, 'when the day takes the place of its hours')
  await late('three', noon + 3)
  clock.advance(4 * DAY)
  await rollUp.run()
  t.match(await totals(), { chargedMicro: 25 }, 'when the day is looked at again')
})

t.test('free runs are counted, and forgotten when no report reaches them any more', async (t) => {
  const { clock, store, advanceTo, report, rollUp, rows } = await open(t)
  advanceTo(3)
  const free = store.collection<FreeRunRow>('free_runs')
  const meta = { ending: 'stopped', totalTokens: 7, keyId: 'k' }
  const at = clock.now()
  await free.insert({ id: 'r', userId: 'a', chatflowId: 'f', startedAt: at, at, expiresAt: at + 1, meta })
  const expected = [{ userId: 'a', keyId: 'k', counts: { predictions: 1, stopped: 1, completed: 0, totalTokens: 7 } }]
  t.match(await report(), expected)
  clock.advance(5 * DAY)
  await rollUp.run()
  await free.remove('r')
  t.match(await report(), expected)
  t.equal((await rows()).length, 1)
})

t.test('a free run is there at once, stored soon, and removed when it has expired', async (t) => {
  const { clock, store } = await open(t)
  const work: Promise<unknown>[] = []
  const free = createFreeRuns({ store, clock, keptMs: 1000, track: (stored) => void work.push(stored) })
  const run = { accountId: 'a', chatflowId: 'f', meta: { durationMs: 5 } }
  for (let i = 0; i < 600; i++) free.ended({ ...run, rid: `r${i}` })
  free.ended({ ...run, rid: 'r0' })
  t.match(await free.find('r0'), { userId: 'a', startedAt: clock.now() - 5, at: clock.now() })
  await Promise.all(work)
  t.equal(work.length, 600, 'a second time changes nothing')
  t.match(await free.find('r0'), { userId: 'a' })
  t.equal(await free.purgeExpired(), 0)
  clock.advance(1000)
  t.equal(await free.purgeExpired(), 600)
  t.equal(await free.find('r0'), undefined)
})

t.test('nothing at all is no work and an empty report', async (t) => {
  const { rollUp, report, totals, marks } = await open(t)
  t.equal(await rollUp.run(), 0)
  t.same(await report(), [])
  t.match(await totals(), { predictions: 0, chargedMicro: 0 })
  t.same(await marks(), [])
})

/** The store, except that one segment can never be marked. */
function failOn(store: Store, segment: string): Store['collection'] {
  return <D extends Document>(name: string): Collection<D> => {
    const collection = store.collection<D>(name)
    if (name !== 'usage_segments') return collection
    return {
      ...collection,
      insert: async (row) => (row.id === segment ? Promise.reject(new Error('no mark')) : collection.insert(row))
    }
  }
}
