import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type ApiKeys, createApiKeys, type RecordKey } from '../src/auth/api-keys.ts'
import { keyRecord, keyView } from '../src/auth/key-view.ts'
import { ACCOUNTING_BOOK, LEDGER_BOOK } from '../src/credits/book-names.ts'
import { createKeyBudgets } from '../src/credits/key-budgets.ts'
import { toCredits } from '../src/credits/pricing.ts'
import type { ApiKeyRow } from '../src/store/key-rows.ts'

declare module 'fastify' {
  interface FastifyInstance {
    apiKeys: ApiKeys
    /** The API form of a key, with what is left of its budget. */
    showKey(row: ApiKeyRow): Promise<ShownKey>
    showKeys(rows: readonly ApiKeyRow[]): Promise<ShownKey[]>
    /** Audit entries of what the caller of this request does with keys. */
    recordKeysOf(request: FastifyRequest): RecordKey
  }
}

type ShownKey = ReturnType<typeof keyView>

const PURGE_MS = 3_600_000

/** API keys: who has which, and the budgets they have in the accounts of their owners. */
export default fp(
  async function apiKeys(app: FastifyInstance) {
    const { store, clock, ids, accounting, ledger, config, lifecycle } = app
    const openAccount = (userId: string) =>
      accounting ? accounting.open(userId) : ledger.open(userId, config.credits.openingMicro)
    const { accounts } = accounting ? ACCOUNTING_BOOK : LEDGER_BOOK
    const budgets = createKeyBudgets({ store, clock, accounts, openAccount })
    const keys = createApiKeys({ store, clock, ids, budgets })
    app.decorate('apiKeys', keys)
    app.decorate('showKey', async function showKey(row: ApiKeyRow) {
      const left = row.budgetMicro === null ? {} : await budgets.left(row.userId)
      return keyView(row, { now: clock.now(), toCredits, left })
    })
    app.decorate('showKeys', async function showKeys(rows: readonly ApiKeyRow[]) {
      const owners = new Set(rows.filter(({ budgetMicro }) => budgetMicro !== null).map(({ userId }) => userId))
      const left = new Map(await Promise.all([...owners].map(async (id) => [id, await budgets.left(id)] as const)))
      return rows.map((row) => keyView(row, { now: clock.now(), toCredits, left: left.get(row.userId) ?? {} }))
    })
    app.decorate('recordKeysOf', (request: FastifyRequest) => (before: ApiKeyRow | null, after: ApiKeyRow) => {
      const change = { before: before && keyRecord(before), after: keyRecord(after) }
      return [app.auditWith(request, { action: actionOf(before, after), target: after.id, ...change })]
    })
    lifecycle.every(PURGE_MS, 'purge of ended keys', async function purgeKeys() {
      await app.takeTurn('key-purge', PURGE_MS, () => keys.purge())
    })
  },
  { name: 'api-keys', dependencies: ['configuration', 'store', 'bus', 'audit', 'lifecycle', 'accounting', 'credits'] }
)

function actionOf(before: ApiKeyRow | null, after: ApiKeyRow): string {
  if (before === null) return 'api_key.create'
  if (before.revokedAt !== after.revokedAt) return 'api_key.revoke'
  return before.secretHash === after.secretHash ? 'api_key.update' : 'api_key.rotate'
}
