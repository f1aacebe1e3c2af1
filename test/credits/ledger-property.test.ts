import * as fc from 'fast-check'
import t from 'tap'
import { createIdempotency } from '../../src/credits/idempotency.ts'
import { createLedger } from '../../src/credits/ledger.ts'
import type { Hold, Ledger } from '../../src/credits/ledger.ts'
import { verifyLedger } from '../../src/credits/verify.ts'
import { AppError } from '../../src/errors.ts'
import { createIds } from '../../src/ids.ts'
import { collections } from '../../src/store/collections.ts'
import type { AccountRow, LedgerEntryRow } from '../../src/store/collections.ts'
import type { Store } from '../../src/store/port.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { createSchedule } from './hostile-schedule.ts'
import type { Schedule } from './hostile-schedule.ts'

const specs = collections.filter(({ name }) => ['accounts', 'ledger_entries', 'requests'].includes(name))
const RUNS = Number(process.env['LEDGER_RUNS'] ?? 150)

const ids = createIds()

/** The ledger and the keys of one process, over its own view of the store. */
function openProcess(store: Store, clock: Schedule['clock']) {
  return {
    ledger: createLedger({ store, clock, ids, maxHolds: 4 }),
    idempotency: createIdempotency({ store, clock })
  }
}

/** A process gives up when the store is away too long or the request is refused; anything else is a violation. */
async function tolerant(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof AppError) || error.kind === 'fault') throw error
  }
}

/** One prediction of a client with an idempotency key, as the gateway runs it. */
async function predict(
  view: Store,
  schedule: Schedule,
  run: { key: string; cost: number; hold: number }
): Promise<void> {
  const { ledger, idempotency } = openProcess(view, schedule.clock)
  const request = { accountId: 'a', key: run.key, bodyHash: 'h' }
  const begun = await idempotency.begin(request)
  if (begun.state === 'replay') return
  const { rid } = begun
  let hold: Hold = await ledger.reserve({
    rid,
    accountId: 'a',
    chatflowId: 'f',
    amountMicro: run.hold,
    limits: ['key:k']
  })
  let used = 0
  while (used < run.cost && schedule.random() > 0.03) {
    used = Math.min(run.cost, used + schedule.between(1, 4))
    if (used > hold.amountMicro * 0.8) {
      const more = await ledger.extend(hold, 5)
      if (!more && used >= hold.amountMicro) break
      hold = more ?? hold
    }
    if (schedule.random() < 0.3) await ledger.heartbeat(hold, Math.min(used, hold.amountMicro)).catch(ignoreOutage)
  }
  const isFailed = schedule.random() < 0.1
  const [first, second] = await Promise.all([
    isFailed ? ledger.void(hold) : ledger.settle(hold, used),
    schedule.random() < 0.2 ? ledger.settle(hold, used) : undefined
  ])
  if (second && second.chargedMicro !== first.chargedMicro) throw new Error('Two settlements of one hold differ')
  await idempotency.finish({ ...request, rid, receipt: first.chargedMicro })
}

function ignoreOutage(error: unknown): boolean {
  if (error instanceof AppError && error.code === 'store_unavailable') return true
  throw error
}

async function sweep(ledger: Ledger, times: number): Promise<void> {
  for (let i = 0; i < times; i++) await tolerant(async () => void (await ledger.expireDue()))
}

async function play(seed: number): Promise<Schedule['counts']> {
  const store = createSqliteStore({ path: ':memory:', specs })
  const schedule = createSchedule(store, seed)
  const { clock, between, spawn } = schedule
  const calm = openProcess(store, clock).ledger
  const accounts = store.collection<AccountRow>('accounts')
  const entries = store.collection<LedgerEntryRow>('ledger_entries')
  const budget = between(20, 80)
  const opening = between(0, 30)
  await accounts.insert({
    id: 'a',
    status: 'active',
    available: 0,
    held: 0,
    holdCount: 0,
    grantVersion: 0,
    opening,
    holds: {},
    limits: { 'key:k': budget },
    createdAt: clock.now(),
    updatedAt: clock.now()
  })

  const grants = { g1: between(20, 70), g2: between(1, 40) }
  for (const key of ['g1', 'g1', 'g1', 'g2', 'g2'] as const) {
    spawn((view) =>
      tolerant(async () => {
        await openProcess(view, clock).ledger.change('a', { key, kind: 'grant', amountMicro: grants[key] })
      })
    )
  }
  spawn((view) => tolerant(async () => void (await openProcess(view, clock).ledger.open('a', opening))))
  spawn((view) =>
    tolerant(async () => {
      const target = { key: 's', targetMicro: between(0, 60), note: 'n', actorId: 'admin' }
      await openProcess(view, clock).ledger.setAvailable('a', target)
    })
  )
  for (let i = between(3, 9); i > 0; i--) {
    const run = { key: `r${i}`, cost: between(1, 25), hold: between(5, 20) }
    for (let copies = schedule.random() < 0.4 ? 2 : 1; copies > 0; copies--) {
      spawn((view) => tolerant(() => predict(view, schedule, run)))
    }
  }
  for (let i = 0; i < 2; i++) spawn((view) => sweep(openProcess(view, clock).ledger, 8))

  await schedule.run(async () => {
    const account = await accounts.get('a')
    const made = await entries.list({ limit: 1000 })
    if (account) requireBooksInOrder(account, made)
  })
  clock.advance(1_000_000)
  await calm.expireDue()
  const account = await accounts.get('a')
  const made = await entries.list({ limit: 1000 })
  const { problems } = await verifyLedger(store)
  await store.close()

  if (problems.length > 0) throw new Error(JSON.stringify(problems))
  if (!account || account.held !== 0 || account.holdCount !== 0) throw new Error('A hold leaked')
  const charged = made.filter(({ kind }) => kind === 'charge').reduce((sum, { delta }) => sum - delta, 0)
  if (account.limits['key:k'] !== budget - charged) throw new Error('The budget drifted')
  return schedule.counts
}

function requireBooksInOrder({ available, held, holds, holdCount, limits }: AccountRow, made: LedgerEntryRow[]): void {
  const amounts = Object.values(holds).map((hold) => hold.amount)
  const charges = made.filter(({ kind }) => kind === 'charge').map(({ requestId }) => requestId)
  if (available < 0 || held < 0 || Object.values(limits).some((left) => left < 0)) throw new Error('Overdrawn')
  if (amounts.reduce((sum, amount) => sum + amount, 0) !== held) throw new Error('held is not the sum of the holds')
  if (amounts.length !== holdCount || holdCount > 4) throw new Error('The number of holds is wrong')
  if (made.reduce((sum, { delta }) => sum + delta, 0) !== available + held)
    throw new Error('The entries are not the balance')
  if (new Set(charges).size < charges.length) throw new Error('A run was charged twice')
}

t.test('whatever is lost, late, doubled or killed, the books stay in order', { timeout: 60_000 }, async (t) => {
  const seen = { crashed: 0, late: 0, steps: 0 }
  // The seed of a failure is printed with it, and repeats the schedule.
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 2 ** 31 }), async (seed) => {
      const counts = await play(seed)
      seen.crashed += counts.crashed
      seen.late += counts.late
      seen.steps += counts.steps
    }),
    { numRuns: RUNS, endOnFailure: true }
  )
  t.comment(seen)
  t.ok(seen.crashed > 0 && seen.late > 0, 'the schedules were hostile')
})
