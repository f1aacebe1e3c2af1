import type { Test } from 'tap'
import { createLedger } from '../../src/credits/ledger.ts'
import type { Hold, Ledger } from '../../src/credits/ledger.ts'
import { verifyLedger } from '../../src/credits/verify.ts'
import { createIds } from '../../src/ids.ts'
import type { Store } from '../../src/store/port.ts'
import { createFakeClock } from '../clock.ts'
import type { FakeClock } from '../clock.ts'

/** The end of the storage contract: the real ledger, under concurrency, over this adapter. `open` has the real collections. */
export function ledgerContract(t: Test, name: string, open: (t: Test) => Promise<Store>): void {
  const withLedger = (title: string, check: (t: Test, ledger: Ledger, clock: FakeClock) => Promise<void>): void => {
    void t.test(`${name}: ${title}`, async (t) => {
      const store = await open(t)
      const clock = createFakeClock()
      await check(t, createLedger({ store, clock, ids: createIds(), maxHolds: 50 }), clock)
      t.same((await verifyLedger(store)).problems, [])
    })
  }
  const ids = createIds()
  const run = () => ({ rid: ids.run(), accountId: 'a', chatflowId: 'f' })

  withLedger('of a hundred parallel reserves on a balance for ten, ten succeed', async (t, ledger) => {
    await ledger.open('a', 10_000_000)
    const results = await Promise.allSettled(
      Array.from({ length: 100 }, () => ledger.reserve({ ...run(), amountMicro: 1_000_000 }))
    )
    const holds = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    t.equal(holds.length, 10)
    for (const result of results) {
      if (result.status === 'rejected')
        t.match(result.reason, { code: 'insufficient_credits', params: { extra: { available: 0, held: 10 } } })
    }
    t.match(await ledger.account('a'), { available: 0, held: 10_000_000, holdCount: 10 })
    await Promise.all(holds.map((hold, i) => (i % 2 ? ledger.settle(hold, 1_000_000) : ledger.void(hold))))
    t.match(await ledger.account('a'), { available: 5_000_000, held: 0, holdCount: 0, holds: {} })
  })

  withLedger('everything at once on one account leaves every micro-credit accounted for', async (t, ledger, clock) => {
    await ledger.open('a', 1000)
    async function work(i: number): Promise<void> {
      let hold: Hold | undefined = await ledger.reserve({ ...run(), amountMicro: 10 + i })
      if (i % 3 === 0) hold = (await ledger.extend(hold, 5)) ?? hold
      await ledger.heartbeat(hold, i % 10)
      if (i % 5 === 0) return
      const [first, second] = await Promise.all([ledger.settle(hold, i), ledger.settle(hold, i)])
      t.equal(first?.chargedMicro, second?.chargedMicro, 'two settlements of a hold are one')
    }
    const change = (i: number) => ledger.change('a', { key: `k${i % 4}`, kind: 'grant', amountMicro: 100 })
    await Promise.allSettled([
      ...Array.from({ length: 40 }, (_, i) => work(i)),
      ...Array.from({ length: 12 }, (_, i) => change(i)),
      ...Array.from({ length: 3 }, () => ledger.expireDue())
    ])
    clock.advance(60_000)
    await Promise.all([ledger.expireDue(), ledger.expireDue()])
    const account = await ledger.account('a')
    t.match(account, { held: 0, holdCount: 0, holds: {} })
    const entries = await ledger.entries('a', { limit: 1000 })
    t.equal(entries.filter((entry) => entry.kind === 'grant').length, 5)
    t.equal(
      entries.reduce((sum, entry) => sum + entry.delta, 0),
      account?.available
    )
  })

  withLedger('an account opened by many at once has its opening amount once', async (t, ledger) => {
    await Promise.all(Array.from({ length: 20 }, () => ledger.open('a', 700)))
    t.match(await ledger.account('a'), { available: 700, grantVersion: 1 })
    t.equal((await ledger.entries('a', { limit: 10 })).length, 1)
  })
}
