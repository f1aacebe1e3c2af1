import t from 'tap'
import { createApiKeys, MAX_KEYS, type NewApiKey } from '../../src/auth/api-keys.ts'
import { createKeyRing } from '../../src/auth/key-ring.ts'
import { createKeyBudgets } from '../../src/credits/key-budgets.ts'
import type { ApiKeyRow } from '../../src/store/key-rows.ts'
import { authParts, codeOf, HOUR_MS } from './parts.ts'

const DAY_MS = 24 * HOUR_MS
const nothing = () => []
const wanted: NewApiKey = {
  userId: 'a',
  name: 'n',
  description: null,
  scopes: ['chat'],
  chatflowIds: null,
  budgetMicro: null,
  requestsPerMinute: null,
  lifeMs: undefined
}

function open(t: Parameters<typeof authParts>[0]) {
  const { store, clock, ids } = authParts(t)
  const accounts = store.collection<{ id: string; limits: Record<string, number> }>('accounts')
  const openAccount = (id: string) => accounts.insert({ id, limits: {} })
  const budgets = createKeyBudgets({ store, clock, accounts: 'accounts', openAccount })
  const limits = async () => Object.keys((await accounts.get('a'))?.limits ?? {})
  const keys = createApiKeys({ store, clock, ids, budgets })
  return { store, clock, ids, budgets, keys, limits, rows: store.collection<ApiKeyRow>('api_keys') }
}

t.test('a key that ended is known for thirty days, and then goes with its budget', async (t) => {
  const { clock, keys, rows, limits } = open(t)
  const expiring = await keys.create({ ...wanted, budgetMicro: 5, lifeMs: DAY_MS }, nothing)
  const revoked = await keys.create({ ...wanted, budgetMicro: 5 }, nothing)
  const kept = await keys.create({ ...wanted, budgetMicro: 5 }, nothing)
  await keys.revoke('a', revoked.row.id, nothing)
  t.equal((await limits()).length, 2)
  clock.advance(30 * DAY_MS + 1)
  await keys.purge()
  t.strictSame(
    (await rows.list({ limit: 9 })).map(({ id }) => id).toSorted(),
    [expiring.row.id, kept.row.id].toSorted()
  )
  clock.advance(DAY_MS)
  await keys.purge()
  t.strictSame(
    (await rows.list({ limit: 9 })).map(({ id }) => id),
    [kept.row.id]
  )
  t.strictSame(await limits(), [`key:${kept.row.id}`])
})

t.test('a budget that is set while its key is revoked goes with the key', async (t) => {
  const { store, clock, ids, budgets, keys, limits } = open(t)
  const { row } = await keys.create(wanted, nothing)
  const late = createApiKeys({
    store,
    clock,
    ids,
    budgets: {
      ...budgets,
      async set(...budget) {
        await keys.revoke('a', row.id, nothing)
        await budgets.set(...budget)
      }
    }
  })
  t.equal(await codeOf(late.update('a', row.id, { budgetMicro: 5 }, nothing)), 'key_ended')
  t.strictSame(await limits(), [])
})

t.test('an expired key gives up its place when that is needed, and its budget with it', async (t) => {
  const { clock, keys, limits } = open(t)
  for (let made = 0; made < MAX_KEYS; made++) await keys.create({ ...wanted, budgetMicro: 1, lifeMs: DAY_MS }, nothing)
  t.equal(await codeOf(keys.create(wanted, nothing)), 'too_many_keys')
  clock.advance(DAY_MS)
  for (let made = 0; made < MAX_KEYS; made++) await keys.create(wanted, nothing)
  t.equal(await codeOf(keys.create(wanted, nothing)), 'too_many_keys')
  t.strictSame(await limits(), [])
  await keys.create({ ...wanted, userId: 'a:0' }, nothing)
  t.equal((await keys.list('a:0', { after: undefined, limit: 9 })).length, 1, 'names that look alike share no places')
})

t.test('what is no key in form is not looked up', async (t) => {
  const { store, clock, keys } = open(t)
  const { text } = await keys.create(wanted, nothing)
  let reads = 0
  const counting = {
    ...store,
    collection: (name: string) => {
      const real = store.collection<ApiKeyRow>(name)
      return { ...real, recent: (id: string) => (reads++, real.recent(id)) }
    }
  }
  const ring = createKeyRing({ store: counting as typeof store, clock, keep: () => undefined })
  for (const wrong of [
    '',
    'fgw_',
    text.slice(0, -1),
    `${text}x`,
    text.toUpperCase(),
    ` ${text}`,
    `${text}\n`,
    'fgw_'.repeat(99999)
  ])
    t.equal(await codeOf(ring.open(wrong)), 'invalid_token')
  t.equal(reads, 0)
  t.equal((await ring.open(text)).row.userId, 'a')
  t.equal(reads, 1)
})
