import * as fc from 'fast-check'
import t from 'tap'
import { createAccountingHolds } from '../../src/credits/accounting-holds.ts'
import { createOutbox } from '../../src/credits/accounting-outbox.ts'
import { verifyAccounting } from '../../src/credits/verify-accounting.ts'
import { AppError } from '../../src/errors.ts'
import { derivedRunId, type Ids } from '../../src/ids.ts'
import { type AccountingAccountRow, accountingCollections } from '../../src/store/accounting-rows.ts'
import type { AccountingItemRow, ChargeRow } from '../../src/store/accounting-rows.ts'
import type { Store } from '../../src/store/port.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { createFakeClock, type FakeClock } from '../clock.ts'
import { createModelClient, type RemoteBalance, remoteCollections, type RemoteDeduction } from './accounting-model.ts'
import { CREDIT, customer, USER } from './accounting-open.ts'
import { type Actor, type Counts, LARGEST_STEP, runSchedule } from './hostile-schedule.ts'
import { createStoreWire } from './hostile-store.ts'

/** A smaller failure is looked for so long. */
const SHRINK_MS = 60_000
const RUNS = Number(process.env['ACCOUNTING_RUNS'] ?? 300)
const LEASE_MS = 60_000
const TIMEOUT_MS = 5000

type Errand = { process: number } & (
  | { kind: 'run'; holdCredits: number; costCredits: number; ending: 'settle' | 'void' | 'forgotten' }
  | { kind: 'spend'; credits: number }
  | { kind: 'send'; times: number }
)

interface Scenario {
  balanceCredits: number
  errands: Errand[]
  tape: number[]
}

const nat = (max: number) => fc.nat(max)
const scenarios: fc.Arbitrary<Scenario> = fc.record({
  balanceCredits: fc.integer({ min: 0, max: 12 }),
  errands: fc.noBias(
    fc.array(
      fc.oneof(
        {
          weight: 8,
          arbitrary: fc.record({
            kind: fc.constant('run' as const),
            process: nat(1),
            holdCredits: fc.integer({ min: 1, max: 4 }),
            costCredits: nat(4),
            ending: fc.constantFrom('settle' as const, 'settle' as const, 'void' as const, 'forgotten' as const)
          })
        },
        {
          weight: 1,
          arbitrary: fc.record({ kind: fc.constant('spend' as const), process: nat(1), credits: nat(4) })
        }
      ),
      { minLength: 1, maxLength: 10, size: 'max' }
    )
  ),
  tape: fc.noBias(fc.array(fc.nat(LARGEST_STEP), { maxLength: 400, size: 'max' }))
})

t.setTimeout(0)

t.test(
  'whatever is lost, late, doubled or killed: nothing spent twice, nothing lost, every doubt is listed',
  async (t) => {
    const seen = { schedules: 0, lost: 0, late: 0, crashed: 0, charges: 0, items: 0, doubled: 0, refused: 0 }
    let shrinkUntil = Number.POSITIVE_INFINITY
    await fc.assert(
      fc.asyncProperty(scenarios, async (scenario) => {
        if (Date.now() > shrinkUntil) return
        const store = createSqliteStore({ path: ':memory:', specs: [...accountingCollections, ...remoteCollections] })
        try {
          const { counts, end } = await play(scenario, store)
          seen.schedules++
          for (const name of ['lost', 'late', 'crashed'] as const) seen[name] += counts[name]
          for (const name of ['charges', 'items', 'doubled', 'refused'] as const) seen[name] += end[name]
        } catch (error) {
          shrinkUntil = Math.min(shrinkUntil, Date.now() + SHRINK_MS)
          throw error
        } finally {
          await store.close()
        }
      }),
      { numRuns: RUNS }
    )
    t.comment(seen)
    t.ok(seen.late > 0 && seen.lost > 0 && seen.crashed > 0 && seen.items > 0, 'hostile enough')
  }
)

async function play(scenario: Scenario, store: Store) {
  const clock = createFakeClock()
  const ids = createRepeatableIds()
  const claims = new Map<string, number>()
  await store.collection<RemoteBalance>('remote_balances').insert({ id: USER, micro: scenario.balanceCredits * CREDIT })
  const ever = [0, 1].map((process): Errand => ({ kind: 'send', process, times: 6 }))
  const actors = [...scenario.errands, ...ever].map((errand): Actor => {
    return { process: errand.process, work: (own) => tolerant(() => run(errand, openBooks(own, clock, ids), claims)) }
  })
  const check = () => requireCovered(store, scenario.balanceCredits * CREDIT)
  const counts: Counts = await runSchedule(actors, { wire: createStoreWire(store), clock, tape: scenario.tape, check })

  const calm = openBooks(store, clock, ids)
  clock.advance(1_000_000)
  await calm.holds.expireDue()
  for (let rounds = 0; rounds < 100 && (await calm.outbox.sendDue()) > 0; rounds++) clock.advance(400_000)
  return { counts, end: await requireExplained(store, claims) }
}

function openBooks(store: Store, clock: FakeClock, ids: Ids) {
  const client = createModelClient(store, ids)
  const readBalance = (who: ReturnType<typeof customer>) => client.balance(who)
  const holds = createAccountingHolds({ store, clock, ids, maxHolds: 5, leaseMs: LEASE_MS, readBalance })
  const outbox = createOutbox({
    store,
    clock,
    ids,
    client,
    timeoutMs: TIMEOUT_MS,
    findCustomer: async (userId) => customer(userId),
    onNews: () => {},
    onError(error) {
      if (!isOutage(error)) throw error
    }
  })
  return { store, clock, ids, holds, outbox }
}

async function run(errand: Errand, books: ReturnType<typeof openBooks>, claims: Map<string, number>): Promise<void> {
  const { store, clock, ids, holds, outbox } = books
  if (errand.kind === 'spend') {
    const micro = errand.credits * CREDIT
    await store
      .collection<RemoteBalance>('remote_balances')
      .update(USER, { gte: { micro } }, { inc: { micro: -micro } })
    return
  }
  if (errand.kind === 'send') {
    for (let times = 0; times < errand.times; times++) {
      await outbox.sendDue()
      await holds.expireDue()
      await new Promise<void>((resolve) => clock.after(1000, resolve))
    }
    return
  }
  await holds.open(USER)
  const own = holds.as(customer())
  const held = { rid: ids.run(), accountId: USER, chatflowId: 'f', amountMicro: errand.holdCredits * CREDIT }
  const hold = await own.reserve(held)
  await own.heartbeat(hold, Math.min(errand.costCredits, errand.holdCredits) * CREDIT)
  if (errand.ending === 'forgotten') return
  if (errand.ending === 'void') return void (await own.void(hold))
  const { chargedMicro } = await own.settle(hold, errand.costCredits * CREDIT)
  if (chargedMicro > 0) claims.set(`${hold.rid}-${hold.attempt}`, chargedMicro)
  await outbox.send(USER)
}

/** A process gives up when the store is away too long or the request is refused; anything else is a violation. */
async function tolerant(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!isOutage(error) && !(error instanceof AppError && error.kind !== 'fault')) throw error
  }
}

function isOutage(error: unknown): boolean {
  return error instanceof AppError && error.code === 'store_unavailable'
}

async function readAll(store: Store) {
  return {
    account: await store.collection<AccountingAccountRow>('accounting_accounts').get(USER),
    charges: await store.collection<ChargeRow>('accounting_charges').list({ limit: 1000 }),
    items: await store.collection<AccountingItemRow>('accounting_items').list({ limit: 1000 }),
    deductions: await store.collection<RemoteDeduction>('remote_deductions').list({ limit: 1000 })
  }
}

/** At every moment all that was promised is covered by what was there; only doubts are beyond it. */
async function requireCovered(store: Store, balanceMicro: number): Promise<void> {
  const { account, charges, deductions } = await readAll(store)
  if (!account) return
  const { held, unsettled, cleared, committed } = account
  if (committed !== held + unsettled + cleared) throw new Error(`not the sum: ${JSON.stringify(account)}`)
  const deducted = new Set(deductions.map(({ chargeId }) => chargeId))
  let promised = held
  let doubtful = 0
  for (const { id, amount, state, isUncertain, isSent } of charges) {
    if (state === 'pending' || deducted.has(id)) promised += amount
    if (isUncertain || isSent) doubtful += amount
  }
  if (promised > balanceMicro + doubtful) throw new Error(`${promised} promised of ${balanceMicro} and ${doubtful}`)
}

/** At the end each charge was deducted once, or refused and not at all, or is listed; and the lists explain the difference. */
async function requireExplained(store: Store, claims: Map<string, number>) {
  const { account, charges, items, deductions } = await readAll(store)
  const { problems } = await verifyAccounting(store)
  if (problems.length > 0) throw new Error(JSON.stringify(problems))
  if (account && (account.held !== 0 || account.unsettled !== 0 || account.head || account.sendAt !== undefined))
    throw new Error(`not at rest: ${JSON.stringify(account)}`)
  for (const [id, amount] of claims)
    if (charges.find((charge) => charge.id === id)?.amount !== amount) throw new Error(`charge ${id} is lost`)
  let doubled = 0
  for (const { id, state } of charges) {
    const times = deductions.filter(({ chargeId }) => chargeId === id).length
    const listed = items.filter(({ chargeId }) => chargeId === id)
    if (times > 1) doubled++
    if (state === 'pending') throw new Error(`charge ${id} waits for ever`)
    const isExact = times === (state === 'settled' ? 1 : 0)
    if (!isExact && !listed.some(({ isUncertain }) => isUncertain))
      throw new Error(`${id}: ${state}, ${times} times, not listed`)
    if (state === 'refused' && listed.length === 0) throw new Error(`${id} is refused and not listed`)
  }
  if (deductions.some(({ chargeId }) => !charges.some(({ id }) => id === chargeId))) throw new Error('for no charge')
  const refused = charges.filter(({ state }) => state === 'refused').length
  return { charges: charges.length, items: items.length, doubled, refused }
}

function createRepeatableIds(): Ids {
  let count = 0
  const next = () => derivedRunId('test', String(count++))
  return { uuid: next, ordered: next, run: next, secret: next }
}
