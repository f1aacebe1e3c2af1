import type { Clock } from '../clock.ts'
import { repeat } from '../repeat.ts'
import type { Meta } from './hold-writes.ts'
import type { Holds } from './holds.ts'
import type { Hold } from './ledger.ts'
import { decideMoney, type Ending, type Money } from './outcome.ts'
import { costOfTokens, type Price, type Tokens } from './pricing.ts'
import { endOf, type RunEnd } from './run-meta.ts'

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

/** A run that cost nothing, and has no entry for that reason. */
export interface FreeEnd {
  readonly rid: string
  readonly accountId: string
  readonly chatflowId: string
  readonly meta: Meta
}

/** What bills have in common. */
export interface BillRules {
  clock: Clock
  /** What costs are rounded up to, micro-credits. */
  unitMicro: number
  onRetry: (error: unknown, rid: string) => void
  /** Told of the end of a run that has no entry; perhaps more than once. */
  onFreeEnd: (run: FreeEnd) => void
  /** Told what metered runs cost. */
  onCost: (chatflowId: string, costMicro: number) => void
}

/** One run, as far as its money is concerned. */
export interface Billed {
  hold: Hold
  price: Price
  /** Where its hold is. */
  holds: Holds
  produced: Produced
  /** What its entries tell of it from the beginning. */
  meta: Meta
}

/** Without a count from the model, four characters are taken for a token. */
const CHARACTERS_PER_TOKEN = 4
const GROW_AT = 0.8
const GROW_BY = [1 / 2, 1 / 8, 1 / 32]
const RETRY_DELAYS_MS = [100, 500, 1000, 2000, 5000, 10_000, 15_000, 20_000]

/** The bill of a run whose credits are held. */
export function createBill(run: Billed, rules: BillRules): Bill {
  return new OpenBill(run, rules)
}

/** These micro-credits in whole units. */
export function whole(micro: number, unitMicro: number): number {
  return Math.ceil(micro / unitMicro) * unitMicro
}

/** A class, because each prediction has one and its methods are the same for all. */
class OpenBill implements Bill {
  hold: Hold
  readonly isMetered: boolean
  readonly #run: Billed
  readonly #rules: BillRules
  #growing: Promise<boolean> | undefined

  constructor(run: Billed, rules: BillRules) {
    this.hold = run.hold
    this.isMetered = run.price.kind === 'metered' && run.hold.amountMicro > 0
    this.#run = run
    this.#rules = rules
  }

  isShort(): boolean {
    return this.#growing === undefined && this.#usedMicro() >= this.hold.amountMicro * GROW_AT
  }

  grow(): Promise<boolean> {
    this.#growing ??= this.#extend().finally(() => {
      this.#growing = undefined
    })
    return this.#growing
  }

  async renew(kept: Kept | undefined): Promise<void> {
    if (this.hold.amountMicro === 0) return
    const used = Math.min(this.#usedMicro(), this.hold.amountMicro)
    const isKept = used > 0 && (await isDone(kept?.keep()))
    await this.#run.holds.heartbeat(this.hold, isKept ? used : 0)
  }

  async settle(end: RunEnd, kept: Kept | undefined): Promise<Settled> {
    try {
      // Where a hold may have to grow first, the charge is asked for in a later turn than the answer.
      if (kept) await (this.#run.price.kind === 'flat' ? kept.ahead : kept.first)
      return { amounts: await this.#settleOnce(end) }
    } catch (error) {
      return { amounts: this.#estimate(end.ending), later: this.#settleLater(end, kept, error) }
    }
  }

  /** The store failed when the answer was there already: the charge is repeated, never doubled (settle is idempotent). */
  async #settleLater(end: RunEnd, kept: Kept | undefined, error: unknown): Promise<void> {
    const { clock, onRetry } = this.#rules
    await kept?.durable
    await repeat(() => this.#settleOnce(end), error, {
      clock,
      pausesMs: RETRY_DELAYS_MS,
      onRetry: (failure) => onRetry(failure, this.hold.rid)
    })
  }

  async #settleOnce(end: RunEnd): Promise<Amounts> {
    // An extension knows its own write by being the only one: two at once would each take the other's for theirs.
    if (this.#growing) await this.#growing.catch(() => false)
    const { price, holds, produced } = this.#run
    const money = this.#money(end.ending)
    const isEstimated = money.action === 'settle' && money.isEstimated
    const meta = endOf(this.#run.meta, end, isEstimated ? this.#estimatedTokens() : produced.usage)
    if (money.action === 'settle') meta['isEstimated'] = isEstimated
    if (this.hold.amountMicro === 0 && end.ending !== 'refused') this.#rules.onFreeEnd({ ...this.hold, meta })
    if (money.action === 'void') return await holds.void(this.hold, meta)
    const { costMicro } = money
    if (price.kind === 'metered') {
      if (costMicro > this.hold.amountMicro)
        this.hold = (await holds.extend(this.hold, costMicro - this.hold.amountMicro)) ?? this.hold
      this.#rules.onCost(this.hold.chatflowId, costMicro)
    }
    return await holds.settle(this.hold, costMicro, meta)
  }

  #estimate(ending: Ending): Amounts {
    const money = this.#money(ending)
    const chargedMicro = money.action === 'void' ? 0 : Math.min(money.costMicro, this.hold.amountMicro)
    return { chargedMicro, availableMicro: undefined }
  }

  #money(ending: Ending): Money {
    const { price, produced } = this.#run
    const { hasOutput, usage: tokens } = produced
    const money = decideMoney(ending, { hasOutput, usedMicro: this.#usedMicro(), price, tokens })
    return money.action === 'void' ? money : { ...money, costMicro: this.#whole(money.costMicro) }
  }

  #usedMicro(): number {
    const { price, produced } = this.#run
    if (!produced.hasOutput) return 0
    if (price.kind === 'flat') return this.#whole(price.amountMicro)
    return this.#whole(costOfTokens(price, produced.usage ?? this.#estimatedTokens()))
  }

  #estimatedTokens(): Tokens {
    const output = Math.ceil(this.#run.produced.text.length / CHARACTERS_PER_TOKEN)
    return { output, total: output }
  }

  /** Asks for half as much again, then for less and less: the last credits of an account are good for something too. */
  async #extend(): Promise<boolean> {
    for (const part of GROW_BY) {
      const more = await this.#run.holds.extend(this.hold, this.#whole(Math.max(1, this.hold.amountMicro * part)))
      if (!more) continue
      this.hold = more
      return true
    }
    // A refusal matters only when what is held no longer covers what was delivered.
    return this.#usedMicro() < this.hold.amountMicro
  }

  #whole(micro: number): number {
    return whole(micro, this.#rules.unitMicro)
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
