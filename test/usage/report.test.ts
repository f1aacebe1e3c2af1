import t, { type Test } from 'tap'
import { collections } from '../../src/store/collections.ts'
import type { LedgerEntryRow } from '../../src/store/collections.ts'
import { connectMongo } from '../../src/store/mongo/connect.ts'
import type { Store } from '../../src/store/port.ts'
import type { FreeRunRow } from '../../src/store/usage-rows.ts'
import { countedEntry } from '../../src/usage/counts.ts'
import { createFakeClock } from '../clock.ts'
import { openTestLedger, openTestStore } from '../credits/open.ts'
import { withMongo } from '../servers/mongodb.ts'
import { openUsage, pay } from './open.ts'

/** Many predictions of one instant, more than a page has: none may be lost or doubled. */
async function requireWhole(t: Test, store: Store): Promise<void> {
  const clock = createFakeClock()
  const { report, rollUp } = openUsage({ store, clock })
  const at = clock.now()
  const base = { accountId: 'a', attempt: 'x', at, meta: { chatflowId: 'f', ending: 'completed' } }
  const entries = store.collection<LedgerEntryRow>('ledger_entries')
  const free = store.collection<FreeRunRow>('free_runs')
  const insert = async (i: number) => {
    const run = { ...base, requestId: `${i}`, accountId: i % 3 ? 'a' : 'b' }
    await entries.insert({ ...run, id: `${i}:T`, kind: 'charge', delta: -1, isPosting: true })
    await entries.insert({ ...run, id: `${i}:R`, kind: 'hold', delta: 0, isPosting: false })
    const { meta } = base
    if (i < 3) await free.insert({ id: `${i}`, userId: 'b', chatflowId: 'f', startedAt: at, at, expiresAt: at, meta })
  }
  for (let i = 0; i < 270; i += 10) await Promise.all(Array.from({ length: 10 }, (_, n) => insert(i + n)))
  for (let round = 0; round < 2; round++) {
    t.match(await report([]), [{ counts: { predictions: 273, completed: 273, chargedMicro: 270 } }])
    t.match(await report(['user']), [
      { userId: 'a', counts: { predictions: 180, chargedMicro: 180 } },
      { userId: 'b', counts: { predictions: 93, chargedMicro: 90 } }
    ])
    t.match(await report([], { userId: 'b' }), [{ counts: { predictions: 93, chargedMicro: 90 } }])
    clock.advance(33 * 3_600_000)
    await rollUp.run()
  }
}

t.setTimeout(300_000)

t.test('many predictions of one instant are all counted, once', (t) => requireWhole(t, openTestStore(t)))

void withMongo(t, 'the same on MongoDB', async (t, { url, freshDatabase }) => {
  t.setTimeout(300_000)
  const options = { specs: collections, clock: createFakeClock() }
  const { store, makeIndexes } = await connectMongo({ url, database: freshDatabase() }, options)
  await makeIndexes()
  await requireWhole(t, store)
  await store.close()
})

t.test('a report that would take too long is refused until it has been added up', async (t) => {
  const { ledger, store, clock } = openTestLedger(t)
  await ledger.open('a', 1000)
  for (let i = 0; i < 5; i++) await pay(ledger, { chatflowId: `f${i}` }, 10)
  const { report, rollUp } = openUsage({ store, clock })
  t.equal((await report(['chatflow'], { maxCounted: 5 })).length, 5)
  const params = { retryAfterSeconds: 60 }
  await t.rejects(report(['chatflow'], { maxCounted: 4 }), { code: 'report_not_ready', kind: 'unavailable', params })
  await t.rejects(report(['chatflow'], { maxCounted: 4, userId: 'a' }), { code: 'report_not_ready' })
  clock.advance(3 * 3_600_000)
  await rollUp.run()
  t.equal((await report(['chatflow'], { maxCounted: 0 })).length, 5)
  await t.rejects(report(['chatflow'], { maxRows: 4 }), { code: 'validation_error' })
  t.equal((await report(['day'], { maxRows: 1 })).length, 1)
})

t.test('what an entry counts for', async (t) => {
  const entry = (delta: number, meta: LedgerEntryRow['meta']) =>
    countedEntry({
      id: 'r',
      at: 1,
      accountId: 'a',
      kind: 'charge',
      delta,
      isPosting: true,
      requestId: 'r',
      attempt: 'x',
      meta
    })
  const table: [string, ReturnType<typeof entry>, object | undefined][] = [
    ['refused before it began', entry(0, { ending: 'refused' }), undefined],
    ['given up by its user', entry(-3, { ending: 'abandoned' }), { stopped: 1, failed: 0, chargedMicro: 3 }],
    ['expired', entry(-3, { ending: 'expired' }), { completed: 0, failed: 1, chargedMicro: 3 }],
    ['paid, from before endings were told', entry(-3, {}), { completed: 1, failed: 0 }],
    ['released, from before endings were told', entry(0, {}), { completed: 0, failed: 1 }],
    [
      'estimated',
      entry(-3, { isEstimated: true, totalTokens: 9, outputTokens: 9 }),
      { estimatedTokens: 9, totalTokens: 0 }
    ]
  ]
  for (const [title, counted, counts] of table)
    if (counts) t.match(counted, { userId: 'a', counts: { predictions: 1, ...counts } }, title)
    else t.equal(counted, undefined, title)
})
