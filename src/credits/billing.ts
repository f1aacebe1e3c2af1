import type { ChatflowRow } from '../store/collections.ts'
import { type Bill, type BillRules, createBill, type Produced, whole } from './bill.ts'
import type { Holds } from './holds.ts'
import { type Price, sizeOfHold } from './pricing.ts'
import { beginningOf, type RunKey, type RunNames } from './run-meta.ts'

/** Opens bills: the hold before a prediction, the settlement after it. */
export interface Billing {
  /**
   * Holds what the prediction may cost.
   * @throws insufficient_credits, account_frozen, too_many_predictions; with an accounting service also
   * accounting_unavailable, token_expired
   */
  open(run: BilledRun, chatflow: ChatflowRow, payer: Payer): Promise<Bill>
}

export interface BilledRun extends RunNames {
  runId: string
  userId: string
  transcript: Produced
}

/** Where the money of a run is, and what it came with. */
export interface Payer {
  readonly holds: Holds
  readonly key: RunKey | null
}

export interface BillingOptions extends Omit<BillRules, 'onCost'> {
  /** Makes the user's account if need be; asked once per user. */
  openAccount: (userId: string) => Promise<unknown>
  /** Flat price of chatflows without one, micro-credits. */
  priceMicro: number
}

const REMEMBERED_COSTS = 200
/** Chatflows whose costs are remembered, and accounts that are known to be there. */
const REMEMBERED = 10_000

/** The bills of this process. */
export function createBilling({ openAccount, priceMicro, ...options }: BillingOptions): Billing {
  const recentCosts = new Map<string, number[]>()
  const opened = new Set<string>()
  const rules: BillRules = { ...options, onCost: remember }

  async function openOnce(accountId: string): Promise<void> {
    await openAccount(accountId)
    if (opened.size >= REMEMBERED) opened.clear()
    opened.add(accountId)
  }

  function remember(chatflowId: string, costMicro: number): void {
    const costs = recentCosts.get(chatflowId) ?? []
    if (costs.length >= REMEMBERED_COSTS) costs.shift()
    costs.push(costMicro)
    if (recentCosts.size >= REMEMBERED) recentCosts.clear()
    recentCosts.set(chatflowId, costs)
  }

  return {
    async open(run, chatflow, { holds, key }) {
      const { runId: rid, userId: accountId, transcript: produced } = run
      const price = priceOf(chatflow, priceMicro)
      const amountMicro = whole(sizeOfHold(price, recentCosts.get(chatflow.id) ?? []), options.unitMicro)
      const meta = beginningOf(run, key, price)
      const reservation = { rid, accountId, chatflowId: chatflow.id, amountMicro, meta }
      if (!opened.has(accountId)) await openOnce(accountId)
      const hold = await (amountMicro === 0 ? holds.free(reservation) : holds.reserve(reservation))
      return createBill({ hold, price, holds, produced, meta }, rules)
    }
  }
}

function priceOf(chatflow: ChatflowRow, defaultMicro: number): Price {
  if (!chatflow.metered) return { kind: 'flat', amountMicro: chatflow.priceMicro ?? defaultMicro }
  return { kind: 'metered', ...chatflow.metered }
}
