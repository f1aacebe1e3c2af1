import type { Clock } from '../clock.ts'
import type { AccountingAccountRow, AccountingItemRow, ChargeRow } from '../store/accounting-rows.ts'
import type { Append, Guard, Store } from '../store/port.ts'
import { persist } from './persist.ts'

type Head = NonNullable<AccountingAccountRow['head']>

/** The turn to make one try of a charge: nobody else's, until the lease runs out. */
export interface Claim {
  /** As it was when the turn began. */
  charge: ChargeRow
  head: Head
  until: number
}

export interface Closing {
  state: 'settled' | 'refused'
  /** What somebody should look at; absent if nothing is left to doubt. */
  kind?: AccountingItemRow['kind']
  balance: number
  /** The result of a request, not a decision before one. */
  isBegun: boolean
}

/** The steps of the outbox, each one guarded write. */
export interface ChargeBook {
  /** Whether the charge is closed, by whomever. */
  isClosed(charge: ChargeRow): Promise<boolean>
  /** The user's next charge for this owner; undefined if there is none, it is not due, or somebody else has the turn. */
  claim(userId: string, owner: string): Promise<Claim | undefined>
  /** Notes that a request is about to leave. False if the turn was lost: then it must not. */
  begin(claim: Claim, before: { balance: number; isUncertain: boolean }): Promise<boolean>
  /** Notes that nothing was deducted, or that nobody knows. */
  end(claim: Claim, result: { isUncertain: boolean }): Promise<void>
  /** Closes the charge and leaves an item where there is doubt. False if the turn was lost. */
  close(claim: Claim, closing: Closing): Promise<boolean>
  /** Leaves an item: it was deducted, and the turn was lost. */
  noteLate(claim: Claim, balance: number): Promise<void>
  /** Gives the turn back until the next try. */
  postpone(claim: Claim, next: { delayMs: number; asService: boolean }): Promise<void>
  /** Takes a closed charge out of the account's outbox, once. */
  clear(charge: ChargeRow): Promise<void>
}

/** The rows of the outbox in this store. */
export function createChargeBook(options: { store: Store; clock: Clock; leaseMs: number }): ChargeBook {
  const { store, clock, leaseMs } = options
  const accounts = store.collection<AccountingAccountRow>('accounting_accounts')
  const charges = store.collection<ChargeRow>('accounting_charges')
  const items = store.collection<AccountingItemRow>('accounting_items')

  async function claim(userId: string, owner: string): Promise<Claim | undefined> {
    const { claimed } = await persist(clock, async (): Promise<{ claimed?: Claim } | undefined> => {
      // Read before the charges are looked for: once a charge is cleared, `cleared` is another, and the guard fails.
      const account = await accounts.get(userId)
      if (!account || account.sendAt === undefined) return {}
      const { head: seen, cleared, sendAt } = account
      if (seen?.owner !== owner && sendAt > clock.now()) return {}
      const charge = await nextOf(account)
      if (!charge) return {}
      if (seen?.owner === owner) return { claimed: { charge, head: seen, until: sendAt } }
      const head = { chargeId: charge.id, owner, tries: seen?.tries ?? 0, asService: seen?.asService ?? false }
      const until = clock.now() + leaseMs
      const guard: Guard = seen
        ? { equal: { 'head.owner': seen.owner }, lt: { sendAt: clock.now() + 1 } }
        : { equal: { cleared }, exists: { head: false } }
      if (!(await accounts.update(userId, guard, { set: { head, sendAt: until } }))) return undefined
      // As it is in this turn: what its last sender wrote until now counts.
      return { claimed: { charge: (await charges.get(charge.id)) ?? charge, head, until } }
    })
    return claimed
  }

  async function nextOf({ id: accountId, head }: AccountingAccountRow): Promise<ChargeRow | undefined> {
    if (head) return charges.get(head.chargeId)
    const [oldest] = await charges.list({
      where: { equal: { state: 'pending', accountId } },
      order: { by: 'createdAt', direction: 'asc' },
      limit: 1
    })
    return oldest
  }

  /** Sets members of the row unless the turn was lost; a write whose answer was lost is recognised by its sender. */
  async function write(
    { charge, head }: Claim,
    guard: Guard,
    set: Partial<ChargeRow>,
    append: Append[] = []
  ): Promise<boolean> {
    const { isWritten } = await persist(clock, async (isRepeated) => {
      const row = isRepeated ? await charges.get(charge.id) : undefined
      if (row?.sender === head.owner && row.state === (set.state ?? 'pending') && row.isSent === set.isSent)
        return { isWritten: true }
      return { isWritten: await charges.update(charge.id, guard, { set: { ...set, sender: head.owner } }, append) }
    })
    return isWritten
  }

  async function setHead(userId: string, guard: Guard, set: Partial<AccountingAccountRow>): Promise<void> {
    await persist(clock, async () => {
      await accounts.update(userId, guard, { set: { ...set } })
      return true
    })
  }

  return {
    isClosed: async ({ id }) => (await charges.get(id))?.state !== 'pending',
    claim,
    begin(turn, { balance, isUncertain }) {
      const before = isUncertain ? {} : { balanceBefore: balance }
      return write(turn, unchanged(turn), { isSent: true, isUncertain, ...before })
    },
    async end(turn, { isUncertain }) {
      await write(turn, mine(turn), { isSent: false, isUncertain })
    },
    close(turn, { state, kind, balance, isBegun }) {
      const append = kind
        ? [{ collection: 'accounting_items', document: itemOf(turn, kind, balance, clock.now()) }]
        : []
      const set = { state, isSent: false, closedAt: clock.now() }
      return write(turn, isBegun ? mine(turn) : unchanged(turn), set, append)
    },
    async noteLate(turn, balance) {
      await persist(clock, async () => {
        await items.insert(itemOf(turn, 'late', balance, clock.now()))
        return true
      })
    },
    postpone({ charge, head }, { delayMs, asService }) {
      const next = { head: { ...head, tries: head.tries + 1, asService }, sendAt: clock.now() + delayMs }
      return setHead(charge.accountId, { equal: { 'head.owner': head.owner } }, next)
    },
    async clear({ id, accountId, amount }) {
      await persist(clock, async () => {
        const account = await accounts.get(accountId)
        // Cleared by whoever else saw that it is closed. It never becomes the head again: see claim.
        if (account?.head?.chargeId !== id) return true
        const isLast = account.unsettled === amount
        const isCleared = await accounts.update(
          accountId,
          { equal: { 'head.chargeId': id, ...(isLast && { unsettled: amount }) } },
          {
            inc: { unsettled: -amount, cleared: amount },
            unset: isLast ? ['head', 'sendAt'] : ['head'],
            set: { updatedAt: clock.now(), ...(!isLast && { sendAt: clock.now() }) }
          }
        )
        return isCleared || undefined
      })
    }
  }
}

/** Whoever was the sender before has written nothing since the turn began. */
function unchanged({ charge: { sender, isSent } }: Claim): Guard {
  return sender === undefined
    ? { equal: { state: 'pending' }, exists: { sender: false } }
    : { equal: { state: 'pending', sender, isSent } }
}

function mine({ head }: Claim): Guard {
  return { equal: { state: 'pending', sender: head.owner } }
}

function itemOf(
  { charge, head }: Claim,
  kind: AccountingItemRow['kind'],
  balanceAfter: number,
  at: number
): AccountingItemRow {
  const { id: chargeId, accountId, amount, balanceBefore = null } = charge
  const isUncertain = charge.isUncertain || charge.isSent
  const id = `${chargeId}:${kind}:${head.owner}`
  return { id, accountId, chargeId, amount, kind, isUncertain, balanceBefore, balanceAfter, at }
}
