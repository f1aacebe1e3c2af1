import { createLedger } from '../../src/credits/ledger.ts'
import { verifyLedger } from '../../src/credits/verify.ts'
import { createIds } from '../../src/ids.ts'
import type { AccountRow, LedgerEntryRow, RequestRow } from '../../src/store/collections.ts'
import type { Store } from '../../src/store/port.ts'
import type { FakeClock } from '../clock.ts'
import { ACCOUNT, actorsOf, BUDGET, MAX_HOLDS } from './hostile-actors.ts'
import { type Books, createBooksCheck, requireAtRest } from './hostile-books.ts'
import { createClaims } from './hostile-claims.ts'
import type { Scenario } from './hostile-scenario.ts'
import { type Counts, runSchedule } from './hostile-schedule.ts'
import type { Wire } from './hostile-wire.ts'

/** The database of a scenario, empty at its start. */
export interface Stage {
  clock: FakeClock
  wire: Wire
  /** Past the wire: nothing happens to it. */
  calm: Store
  /** What the database holds now. */
  books(): Promise<Books>
  /** Called at the end, when the relays are done; throws if something still waits to be published. */
  requirePublished?(): Promise<void>
}

/** Plays a scenario to its end. @throws whatever is not as the ledger promises */
export async function play(scenario: Scenario, stage: Stage): Promise<Counts> {
  const { clock, wire, calm, books } = stage
  const claims = createClaims()
  const inOrder = createBooksCheck()
  await openAccount(scenario, stage)
  const check = async () => inOrder.look(await books())
  const counts = await runSchedule(actorsOf(scenario, { clock, claims }), { wire, clock, tape: scenario.tape, check })

  clock.advance(1_000_000)
  await createLedger({ store: calm, clock, ids: createIds(), maxHolds: MAX_HOLDS }).expireDue()
  await calm.maintain()
  await stage.requirePublished?.()
  const end = await books()
  inOrder.look(end)
  requireAtRest(end, scenario.budgetMicro)
  const entries = await calm.collection<LedgerEntryRow>('ledger_entries').list({ limit: 1000 })
  const requests = await calm.collection<RequestRow>('requests').list({ limit: 1000 })
  const broken = claims.broken(entries, requests)
  const { problems } = await verifyLedger(calm)
  if (broken.length > 0 || problems.length > 0) throw new Error(JSON.stringify({ broken, problems }))
  return counts
}

async function openAccount({ openingMicro, isOpened, budgetMicro }: Scenario, { calm, clock }: Stage): Promise<void> {
  const granted = isOpened && openingMicro > 0
  const account: AccountRow = {
    id: ACCOUNT,
    status: 'active',
    available: granted ? openingMicro : 0,
    held: 0,
    holdCount: 0,
    grantVersion: granted ? 1 : 0,
    opening: openingMicro,
    holds: {},
    limits: { [BUDGET]: budgetMicro },
    createdAt: clock.now(),
    updatedAt: clock.now()
  }
  const entry: LedgerEntryRow = {
    id: `g:${ACCOUNT}:opening`,
    accountId: ACCOUNT,
    kind: 'grant',
    delta: openingMicro,
    isPosting: true,
    requestId: 'opening',
    attempt: null,
    at: clock.now(),
    meta: { note: null, actorId: null }
  }
  await calm
    .collection<AccountRow>('accounts')
    .insert(account, granted ? [{ collection: 'ledger_entries', document: entry }] : [])
}
