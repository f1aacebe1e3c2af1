import type { LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import type { AccountingAccountRow, AccountingItemRow, ChargeRow } from '../../src/store/accounting-rows.ts'
import { verifyBooks } from '../../src/credits/verify-books.ts'
import { buildTestApp, type TestAppOptions } from '../helper.ts'
import { type AccountingService, startAccountingService } from '../stand-in/accounting-service.ts'

export const JWT_SECRET = 'only-for-tests-only-for-tests-only-for-tests'

export interface ExternalOptions extends TestAppOptions {
  form?: 'seed' | 'v1'
  /** Credits of the user, there. */
  credits?: number
  timeoutMs?: number
}

/** A gateway whose balances another service keeps, with a user, and a chatflow that costs one credit. */
export async function buildExternalApp(t: Test, options: ExternalOptions = {}) {
  const { form = 'seed', credits = 10, timeoutMs = 5000, env, ...rest } = options
  const service: AccountingService = await startAccountingService({ secret: JWT_SECRET })
  const test = await buildTestApp(t, {
    ...rest,
    env: {
      ACCOUNTING_SERVICE_URL: `${service.url}${form === 'v1' ? '/api/' : '/'}`,
      ACCOUNTING_API: form,
      ACCOUNTING_TIMEOUT_MS: String(timeoutMs),
      ...env
    }
  })
  t.teardown(() => service.close())
  const chatflowId = DEMO_IDS.echo
  const user = await test.createUser({ grants: [chatflowId] })
  service.balances.set(user.id, credits)
  const accounts = test.app.store.collection<AccountingAccountRow>('accounting_accounts')
  const charges = test.app.store.collection<ChargeRow>('accounting_charges')
  const items = test.app.store.collection<AccountingItemRow>('accounting_items')

  /** Asks again until it holds: the outbox works in the background. */
  async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
    while (!(await isSo())) await new Promise((resolve) => void setTimeout(resolve, 5))
  }

  return {
    ...test,
    service,
    user,
    chatflowId,
    predict: (body: Record<string, unknown> = {}, token = user.token): Promise<LightMyRequestResponse> =>
      test.request('POST', '/chat/predict', {
        token,
        body: { chatflow_id: chatflowId, question: 'hello', ...body }
      }),
    balance: async (token = user.token) => test.request('GET', '/chat/credits', { token }),
    transactions: async () => (await test.request('GET', '/chat/credits/transactions', { token: user.token })).json(),
    charges: () => charges.list({ limit: 1000 }),
    items: () => items.list({ limit: 1000 }),
    problems: async () => (await verifyBooks(test.app.store)).problems,
    until,
    /** Resolves when the outbox is empty. */
    settled: () => until(async () => (await accounts.count({ gte: { unsettled: 1 } })) === 0)
  }
}
