import { createIdempotency } from '../../src/credits/idempotency.ts'
import { createKeyBudgets } from '../../src/credits/key-budgets.ts'
import { createLedger } from '../../src/credits/ledger.ts'
import type { Hold, Ledger } from '../../src/credits/ledger.ts'
import { AppError } from '../../src/errors.ts'
import { derivedRunId, type Ids } from '../../src/ids.ts'
import type { Store } from '../../src/store/port.ts'
import type { FakeClock } from '../clock.ts'
import type { Claims } from './hostile-claims.ts'
import type { Errand, RunErrand, Scenario } from './hostile-scenario.ts'
import { type Actor, LEASE_MS } from './hostile-schedule.ts'

/** The account and the counter of every scenario. */
export const ACCOUNT = 'a'
export const BUDGET = 'key:k'
/** So few that scenarios meet the limit. */
export const MAX_HOLDS = 4

interface Desk {
  ledger: Ledger
  store: Store
  clock: FakeClock
  ids: Ids
  claims: Claims
  scenario: Scenario
}

/** The actors of a scenario, a sweeper and a relay in each process among them. What they are told becomes a claim. */
export function actorsOf(scenario: Scenario, { clock, claims }: { clock: FakeClock; claims: Claims }): Actor[] {
  const ids = createRepeatableIds()
  const { rounds: times } = scenario
  const ever = [0, 1].flatMap((process): Errand[] => [
    { kind: 'sweep', process, times },
    { kind: 'relay', process, times }
  ])
  return [...scenario.errands, ...ever].map((errand) => ({
    process: errand.process,
    async work(store) {
      const ledger = createLedger({ store, clock, ids, maxHolds: MAX_HOLDS, leaseMs: LEASE_MS })
      await tolerant(() => run(errand, { ledger, store, clock, ids, claims, scenario }))
    }
  }))
}

/** A process gives up when the store is away too long or the request is refused; anything else is a violation. */
async function tolerant(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof AppError) || error.kind === 'fault') throw error
  }
}

async function run(errand: Errand, desk: Desk): Promise<void> {
  const { ledger, store, clock, claims, scenario } = desk
  if (errand.kind === 'grant') {
    const amountMicro = scenario.grants[errand.key]
    const { entryId } = await ledger.change(ACCOUNT, { key: errand.key, kind: 'grant', amountMicro })
    claims.entry(entryId, amountMicro)
  } else if (errand.kind === 'set') {
    const target = { key: 's', targetMicro: errand.targetMicro, note: 'n', actorId: 'admin' }
    const { entryId } = await ledger.setAvailable(ACCOUNT, target)
    claims.entry(entryId)
  } else if (errand.kind === 'open') {
    await ledger.open(ACCOUNT, scenario.openingMicro)
    if (scenario.openingMicro > 0) claims.entry(`g:${ACCOUNT}:opening`, scenario.openingMicro)
  } else if (errand.kind === 'drop') {
    const budgets = createKeyBudgets({ store, clock, accounts: 'accounts', openAccount: async () => undefined })
    await budgets.drop(ACCOUNT, BUDGET)
  } else if (errand.kind === 'sweep') {
    for (let i = 0; i < errand.times; i++) await tolerant(async () => void (await ledger.expireDue()))
  } else if (errand.kind === 'relay') {
    for (let i = 0; i < errand.times; i++) await tolerant(() => store.maintain())
  } else {
    await predict(errand, desk)
  }
}

/** One prediction as the gateway runs it. */
async function predict(errand: RunErrand, desk: Desk): Promise<void> {
  const { ledger, store, clock, ids, claims } = desk
  const idempotency = createIdempotency({ store, clock, ids })
  const request = { accountId: ACCOUNT, key: errand.key, bodyHash: 'h' }
  const begun = await idempotency.begin(request)
  if (begun.state === 'replay') return claims.replay(errand.key, begun.receipt)
  const { rid } = begun
  const run = { rid, accountId: ACCOUNT, chatflowId: 'f' }
  let hold: Hold = await ledger.reserve({ ...run, amountMicro: errand.holdMicro, limits: [BUDGET] })
  claims.hold(hold)
  let used = 0
  while (used < errand.costMicro) {
    used = Math.min(errand.costMicro, used + errand.strideMicro)
    if (used > hold.amountMicro * 0.8) {
      const more = await ledger.extend(hold, 5)
      if (!more && used >= hold.amountMicro) break
      hold = more ?? hold
    }
    if (errand.hasHeart) await renew(hold, Math.min(used, hold.amountMicro), desk)
  }
  if (errand.ending === 'forgotten') return
  const [first, second] = await Promise.all([
    errand.ending === 'void' ? ledger.void(hold) : ledger.settle(hold, used),
    errand.ending === 'settle twice' ? ledger.settle(hold, used) : undefined
  ])
  claims.entry(first.entryId, -first.chargedMicro)
  if (second) claims.entry(second.entryId, -first.chargedMicro)
  if (await idempotency.finish({ ...request, rid, receipt: first.chargedMicro })) {
    claims.receipt(errand.key, first.chargedMicro)
  }
}

/** A renewal that fails is made up for by the next one. */
async function renew(hold: Hold, usedMicro: number, { ledger, clock, claims }: Desk): Promise<void> {
  const at = clock.now()
  await tolerant(async () => {
    if (await ledger.heartbeat(hold, usedMicro)) claims.renewal(hold, usedMicro, at)
  })
}

/** The same ids in the same order each time, so that a repeated schedule is the same one. */
function createRepeatableIds(): Ids {
  let made = 0
  const next = () => derivedRunId('hostile', String(made++))
  return { uuid: next, ordered: next, run: next, secret: next }
}
