import type { Clock } from '../clock.ts'
import { repeat } from '../repeat.ts'
import type { ChatflowRow } from '../store/collections.ts'
import type { Holds } from './holds.ts'
import type { Hold, Settlement } from './ledger.ts'
import { decideMoney, type Ending } from './outcome.ts'
import { costOfTokens, type Price, sizeOfHold, type Tokens } from './pricing.ts'
import type { Meta } from './hold-writes.ts'
import { beginningOf, endOf, type RunEnd, type RunKey, type RunNames } from './run-meta.ts'

/** What of the answer so far the cost depends on. */
export interface Produced {
  readonly hasOutput: boolean
  readonly text: string
  readonly usage: Tokens | undefined
}

export interface Amounts {
  chargedMicro: number
  /** Undefined while the books cannot be read. */
  availableMicro: number | undefined
}

/** The money of one running prediction: its hold, and what it has used of it. */
export interface Bill {
  readonly hold: Hold
  readonly isMetered: boolean
  /** True when most of what is held is used: time to grow. */
  isShort(): boolean
  /** Reserves more; false if there is no more, and the answer has to stop. */
  grow(): Promise<boolean>
  /** Renews the lease and records what is used and kept, for the sweeper in case this process dies. */
  renew(kept: Kept | undefined): Promise<void>
  /** Resolves soon, and never rejects. Nothing is charged before it is kept. */
  settle(end: RunEnd, kept: Kept | undefined): Promise<Settled>
}

export interface Settled {
  amounts: Amounts
  /** Where the store failed: resolves when the ledger has the charge, however long that takes. */
  later?: Promise<void>
}

/** The answer in the history: what is charged for. */
export interface Kept {
  /** Stores what there is so far. Rejects when that cannot be done now. */
  keep(): Promise<void>
  /** Resolves when all of it is stored; rejects when the first try failed. */
  readonly first: Promise<void>
  /** Resolves when a charge that is asked for at once cannot become durable without it; rejects like `first`. */
  readonly ahead: Promise<void>
  /** The same of all tries together. */
  readonly durable: Promise<void>
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

export interface BillingOptions {
  clock: Clock
  /** Makes the user's account if need be; asked once per user. */
  openAccount: (userId: string) => Promise<unknown>
  /** What costs are rounded up to, micro-credits. */
  unitMicro: number
  /** Flat price of chatflows without one, micro-credits. */
  priceMicro: number
  onRetry: (error: unknown, rid: string) => void
  /** Told of the end of a run that has no entry; perhaps more than once. */
  onFreeEnd: (run: FreeEnd) => void
}

/** A run that cost nothing, and has no entry for that reason. */
export interface FreeEnd {
  readonly rid: string
  readonly accountId: string
  readonly chatflowId: string
  readonly meta: Meta
}

const REMEMBERED_COSTS = 200
const REMEMBERED_CHATFLOWS = 10_000
/** Without a count from the model, four characters are taken for a token. */
const CHARACTERS_PER_TOKEN = 4
const GROW_AT = 0.8
const GROW_BY = [1 / 2, 1 / 8, 1 / 32]
const RETRY_DELAYS_MS = [100, 500, 1000, 2000, 5000, 10_000, 15_000, 20_000]

/** Opens bills: the hold before a prediction, the settlement after it. */
export function createBilling(options: BillingOptions) {
  const { clock, openAccount, unitMicro, priceMicro, onRetry, onFreeEnd } = options
  const recentCosts = new Map<string, number[]>()
  const opened = new Set<string>()

  return {
    /**
     * Holds what the prediction may cost.
     * @throws insufficient_credits, account_frozen, too_many_predictions; with an accounting service also
     * accounting_unavailable, token_expired
     */
    async open(run: BilledRun, chatflow: ChatflowRow, { holds, key }: Payer): Promise<Bill> {
      const price = priceOf(chatflow, priceMicro)
      const amountMicro = whole(sizeOfHold(price, recentCosts.get(chatflow.id) ?? []))
      const { runId: rid, userId: accountId } = run
      const meta = beginningOf(run, key, price)
      const request = { rid, accountId, chatflowId: chatflow.id, amountMicro, meta }
      if (!opened.has(accountId)) await openOnce(accountId)
      const hold = amountMicro === 0 ? await holds.free(request) : await holds.reserve(request)
      return createBill(hold, price, { holds, produced: run.transcript, meta })
    }
  }

  function whole(micro: number): number {
    return Math.ceil(micro / unitMicro) * unitMicro
  }

  async function openOnce(accountId: string): Promise<void> {
    await openAccount(accountId)
    if (opened.size >= REMEMBERED_CHATFLOWS) opened.clear()
    opened.add(accountId)
  }

  function createBill(initial: Hold, price: Price, parts: { holds: Holds; produced: Produced; meta: Meta }): Bill {
    const { holds, produced } = parts
    let hold = initial
    let growing: Promise<boolean> | undefined

    return {
      get hold() {
        return hold
      },
      isMetered: price.kind === 'metered' && initial.amountMicro > 0,
      isShort: () => growing === undefined && usedMicro() >= hold.amountMicro * GROW_AT,
      grow() {
        growing ??= extend().finally(() => {
          growing = undefined
        })
        return growing
      },
      async renew(kept) {
        if (hold.amountMicro === 0) return
        const used = Math.min(usedMicro(), hold.amountMicro)
        const isKept = used > 0 && (await isDone(kept?.keep()))
        await holds.heartbeat(hold, isKept ? used : 0)
      },
      async settle(end, kept) {
        try {
          // Where a hold may have to grow first, the charge is asked for in a later turn than the answer.
          if (kept) await (price.kind === 'flat' ? kept.ahead : kept.first)
          return { amounts: await settleOnce(end) }
        } catch (error) {
          return { amounts: estimate(end.ending), later: settleLater(end, kept, error) }
        }
      }
    }

    function usedMicro(): number {
      if (price.kind === 'flat') return produced.hasOutput ? whole(price.amountMicro) : 0
      return produced.hasOutput ? whole(costOfTokens(price, produced.usage ?? estimatedTokens())) : 0
    }

    function estimatedTokens(): Tokens {
      const output = Math.ceil(produced.text.length / CHARACTERS_PER_TOKEN)
      return { output, total: output }
    }

    function money(ending: Ending) {
      const { hasOutput, usage } = produced
      const decided = decideMoney(ending, {
        hasOutput,
        usedMicro: usedMicro(),
        price,
        ...(usage && { tokens: usage })
      })
      return decided.action === 'void' ? decided : { ...decided, costMicro: whole(decided.costMicro) }
    }

    /** Asks for half as much again, then for less and less: the last credits of an account are good for something too. */
    async function extend(): Promise<boolean> {
      for (const part of GROW_BY) {
        const more = await holds.extend(hold, whole(Math.max(1, hold.amountMicro * part)))
        if (!more) continue
        hold = more
        return true
      }
      // A refusal matters only when what is held no longer covers what was delivered.
      return usedMicro() < hold.amountMicro
    }

    async function settleOnce(end: RunEnd): Promise<Amounts> {
      // An extension knows its own write by being the only one: two at once would each take the other's for theirs.
      if (growing) await growing.catch(() => false)
      const decided = money(end.ending)
      const isEstimated = decided.action === 'settle' && decided.isEstimated
      const used = isEstimated ? estimatedTokens() : produced.usage
      const meta = { ...parts.meta, ...endOf(end, used), ...(isEstimated && { isEstimated }) }
      if (hold.amountMicro === 0 && end.ending !== 'refused') onFreeEnd({ ...hold, meta })
      if (decided.action === 'void') return toAmounts(await holds.void(hold, meta))
      if (price.kind === 'metered' && decided.costMicro > hold.amountMicro) {
        const more = await holds.extend(hold, decided.costMicro - hold.amountMicro)
        if (more) hold = more
      }
      if (price.kind === 'metered') remember(hold.chatflowId, decided.costMicro)
      return toAmounts(await holds.settle(hold, decided.costMicro, { ...meta, isEstimated }))
    }

    /** The store failed when the answer was there already: the charge is repeated, never doubled (settle is idempotent). */
    async function settleLater(end: RunEnd, kept: Kept | undefined, error: unknown): Promise<void> {
      await kept?.durable
      await repeat(() => settleOnce(end), error, {
        clock,
        pausesMs: RETRY_DELAYS_MS,
        onRetry: (failure) => onRetry(failure, hold.rid)
      })
    }

    function estimate(ending: Ending): Amounts {
      const decided = money(ending)
      return {
        chargedMicro: decided.action === 'void' ? 0 : Math.min(decided.costMicro, hold.amountMicro),
        availableMicro: undefined
      }
    }
  }

  function remember(chatflowId: string, costMicro: number): void {
    const costs = recentCosts.get(chatflowId) ?? []
    if (costs.length >= REMEMBERED_COSTS) costs.shift()
    costs.push(costMicro)
    if (recentCosts.size >= REMEMBERED_CHATFLOWS) recentCosts.clear()
    recentCosts.set(chatflowId, costs)
  }
}

async function isDone(work: Promise<void> | undefined): Promise<boolean> {
  try {
    await work
    return true
  } catch {
    return false
  }
}

function toAmounts({ chargedMicro, availableMicro }: Settlement): Amounts {
  return { chargedMicro, availableMicro }
}

function priceOf(chatflow: ChatflowRow, defaultMicro: number): Price {
  if (!chatflow.metered) return { kind: 'flat', amountMicro: chatflow.priceMicro ?? defaultMicro }
  return { kind: 'metered', ...chatflow.metered }
}
