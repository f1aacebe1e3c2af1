import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { type AccountingCall, type AccountingReply, CallFailure, createAccountingCalls } from './accounting-call.ts'
import { type AccountingForm, type Due, seedForm, type Usage, v1Form } from './accounting-forms.ts'
import { type AccountingTokens, createAccountingTokens, type Customer } from './accounting-tokens.ts'
import { MICRO_PER_CREDIT } from './pricing.ts'

export type { Due, Usage } from './accounting-forms.ts'
export type { Customer } from './accounting-tokens.ts'

/** What is left there. */
export interface Balance {
  /** Negative if the service says so. */
  micro: number
  /** The service itself says that it is not enough. */
  isSufficient: boolean
}

/**
 * How a deduction came out: `refused` is final, `unauthorized` and `unheard` have certainly changed nothing, and of
 * `unknown` nothing is certain.
 */
export interface Deduction {
  outcome: 'settled' | 'refused' | 'unauthorized' | 'unheard' | 'unknown'
  /** For the log. */
  reason: string
  /** What the service asks to wait. */
  retryAfterMs?: number
}

/** Whose money, and whether the gateway asks on its own authority. */
export interface Asker {
  customer: Customer
  asService: boolean
}

/** The accounting service, in either wire form. */
export interface AccountingClient {
  /** The balance before a prediction. @throws token_expired, accounting_unavailable */
  balance(customer: Customer): Promise<Balance>
  /** The balance for the outbox: a number of micro-credits, or why there is none. */
  look(asker: Asker): Promise<{ micro: number } | { isUnauthorized: boolean; reason: string }>
  /** Deducts once, or says what is known. Never rejects. */
  deduct(due: Due, asker: Asker): Promise<Deduction>
  /** @throws Error unless it is recorded; does nothing where the form has no records */
  record(usage: Usage, customer: Customer): Promise<void>
  /** Resolves when the service answers. */
  ping(): Promise<void>
  close(): Promise<void>
}

export interface AccountingClientOptions {
  url: string
  form: 'seed' | 'v1'
  timeoutMs: number
  /** Shared with the service. */
  secret: string
  clock: Clock
}

const RETRY_SECONDS = 5
/** Above it sums of micro-credits would leave the safe integers. */
const MAX_CREDITS = 1_000_000_000
const REFUSALS = new Set([400, 402, 409, 422])
/** Nobody's balance: whatever the answer, it is one. */
const NOBODY = 'gateway-service'

/** A client with one pool of connections. */
export function createAccountingClient(options: AccountingClientOptions): AccountingClient {
  const { clock, secret } = options
  const form = options.form === 'v1' ? v1Form : seedForm
  const tokens = createAccountingTokens({ secret, clock })
  const { call, close } = createAccountingCalls(options)

  return {
    async balance(customer) {
      const reply = await call({ ...form.balance(customer.userId), authorization: tokens.asUser(customer) }).catch(
        (cause: unknown) => unavailable(cause)
      )
      const { expiresAt = Number.POSITIVE_INFINITY } = customer
      if (reply.status === 401 && tokens.isOwn(customer) && expiresAt <= clock.now())
        throw new AppError('token_expired')
      return readBalance(form, reply) ?? unavailable(strange(reply))
    },
    async look(asker) {
      try {
        const reply = await call({ ...form.balance(asker.customer.userId), authorization: lookAs(tokens, form, asker) })
        const balance = readBalance(form, reply)
        return balance ? { micro: balance.micro } : { isUnauthorized: isUnauthorized(reply), reason: sayOf(reply) }
      } catch (error) {
        return { isUnauthorized: false, reason: reasonOf(error) }
      }
    },
    async deduct(due, { customer, asService }) {
      const spoken = asService ? form.deductAsService(due) : form.deduct(due)
      const authorization = asService ? tokens.asService() : tokens.asUser(customer)
      try {
        const reply = await call({ ...spoken, authorization, headers: { 'idempotency-key': due.id } })
        return judge(reply, form.isDeducted(reply, asService))
      } catch (error) {
        const isUnheard = error instanceof CallFailure && !error.isSent
        return { outcome: isUnheard ? 'unheard' : 'unknown', reason: reasonOf(error) }
      }
    },
    async record(usage, customer) {
      const spoken: Omit<AccountingCall, 'authorization'> | undefined = form.record?.(usage)
      if (!spoken) return
      const reply = await call({ ...spoken, authorization: tokens.asUser(customer) })
      if (reply.status !== 201) throw strange(reply)
    },
    async ping() {
      const reply = await call({ ...form.balance(NOBODY), authorization: tokens.asService() })
      if (reply.status >= 500) throw strange(reply)
    },
    close
  }
}

function judge(reply: AccountingReply, isDeducted: boolean): Deduction {
  const { status, retryAfterMs } = reply
  const reason = sayOf(reply)
  if (status === 200) return { outcome: isDeducted ? 'settled' : 'unknown', reason }
  if (REFUSALS.has(status)) return { outcome: 'refused', reason }
  if (isUnauthorized(reply)) return { outcome: 'unauthorized', reason }
  // A proxy says 408, too, when the service behind it has heard more than the proxy.
  if (status >= 500 || status < 300 || status === 408) return { outcome: 'unknown', reason }
  return { outcome: 'unheard', reason, ...(retryAfterMs !== undefined && { retryAfterMs }) }
}

/** Where the bearer names the account, the gateway asks as that user; its own token would tell its own balance. */
function lookAs(tokens: AccountingTokens, form: AccountingForm, { customer, asService }: Asker): string {
  if (!asService) return tokens.asUser(customer)
  return form.isOfBearer ? tokens.asUser({ ...customer, bearer: undefined }) : tokens.asService()
}

function readBalance(form: AccountingForm, { status, json }: AccountingReply): Balance | undefined {
  if (status !== 200 || typeof json !== 'object' || json === null) return undefined
  const { credits, isSufficient } = form.readBalance({ ...json })
  if (typeof credits !== 'number' || !Number.isFinite(credits)) return undefined
  const bounded = Math.max(-MAX_CREDITS, Math.min(MAX_CREDITS, credits))
  return { micro: Math.floor(bounded * MICRO_PER_CREDIT), isSufficient }
}

function isUnauthorized({ status }: AccountingReply): boolean {
  return status === 401 || status === 403
}

/** Without the body: it is theirs, and may say anything. */
function sayOf({ status, json }: AccountingReply): string {
  return `status ${status}${json === undefined ? ', not JSON' : ''}`
}

function strange(reply: AccountingReply): Error {
  return new Error(`the accounting service answered ${sayOf(reply)}`)
}

function unavailable(cause: unknown): never {
  throw new AppError('accounting_unavailable', { retryAfterSeconds: RETRY_SECONDS }, { cause })
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
