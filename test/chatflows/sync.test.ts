import t, { type Test } from 'tap'
import { createCatalogue } from '../../src/chatflows/catalogue.ts'
import { createSync } from '../../src/chatflows/sync.ts'
import { openTempStore } from '../temp-store.ts'
import { createFakeClock } from '../clock.ts'

type Listing = () => Promise<unknown[]>

const row = (id: string, more: Record<string, unknown> = {}) => ({ id, name: `Flow ${id}`, type: 'CHATFLOW', ...more })
const noConfirm = { confirm: false }

/** A sync whose Flowise lists what the test says. */
function setUp(t: Test, first: Listing = async () => []) {
  const store = openTempStore(t)
  const clock = createFakeClock()
  const upstream = { listChatflows: first }
  const ended = new AbortController()
  const flowise = { listChatflows: () => upstream.listChatflows() }
  const sync = createSync({ store, flowise, clock, signal: ended.signal })
  const catalogue = createCatalogue({ store, toMicro: (credits) => credits * 1e6 })
  return { store, clock, upstream, sync, catalogue, ended }
}

t.test(
  'the first sync creates, the next updates, what is missing is deleted, what returns is active again',
  async (t) => {
    const { sync, catalogue, upstream, clock } = setUp(t, async () => [row('a'), row('b')])
    t.match(await sync.run(noConfirm), {
      total_fetched: 2,
      created: 2,
      updated: 0,
      deleted: 0,
      errors: 0,
      error_details: []
    })
    await catalogue.patch('b', { price: 3 })

    clock.advance(1000)
    upstream.listChatflows = async () => [row('a', { name: 'New name' }), row('c')]
    t.match(await sync.run(noConfirm), { total_fetched: 2, created: 1, updated: 1, deleted: 1, errors: 0 })
    t.match(await catalogue.get('a'), { name: 'New name', status: 'active', syncedAt: clock.now() })
    t.match(await catalogue.get('b'), { status: 'deleted' })
    t.match(await sync.run(noConfirm), { deleted: 0 }, 'deleted counts the newly missing only')

    upstream.listChatflows = async () => [row('a'), row('b'), row('c')]
    t.match(await sync.run(noConfirm), { created: 0, updated: 3, deleted: 0 })
    t.match(await catalogue.get('b'), { status: 'active', priceMicro: 3e6 }, 'with its settings')
    t.equal(await sync.lastSyncAt(), clock.now())
  }
)

t.test('only allowed members are stored, with the dates of Flowise and bounded texts', async (t) => {
  const listed = row('a', {
    name: 'n'.repeat(100_000),
    flowData: '{"secret":1}',
    apikeyid: 'key',
    deployed: true,
    isPublic: null,
    category: 'Tools;Demo',
    createdDate: '2024-05-01T10:00:00.000Z',
    updatedDate: 'not a date'
  })
  const { sync, catalogue, clock } = setUp(t, async () => [listed])
  await sync.run(noConfirm)
  const stored = await catalogue.get('a')
  t.strictSame(stored, {
    id: 'a',
    name: 'n'.repeat(500),
    description: null,
    category: 'Tools;Demo',
    type: 'CHATFLOW',
    deployed: true,
    isPublic: false,
    status: 'active',
    syncError: null,
    syncedAt: clock.now(),
    createdAt: Date.parse('2024-05-01T10:00:00.000Z'),
    updatedAt: clock.now()
  })
})

const failures: [name: string, listing: Listing][] = [
  ['an error', async () => Promise.reject(new Error('connection refused'))],
  ['a body that is no list', async () => JSON.parse('{"message":"ok"}')],
  ['a list in which nothing is readable', async () => [null, 7, { name: 'no id' }]]
]
for (const [name, listing] of failures)
  t.test(`${name} instead of the list is upstream_error and changes nothing`, async (t) => {
    const { sync, catalogue, upstream } = setUp(t, async () => [row('a')])
    await sync.run(noConfirm)
    upstream.listChatflows = listing
    await t.rejects(sync.run({ confirm: true }), { code: 'upstream_error' })
    t.match(await catalogue.get('a'), { status: 'active' })
  })

t.test('an empty list deletes nothing until it is confirmed', async (t) => {
  const { sync, catalogue, upstream } = setUp(t, async () => [row('a')])
  await sync.run(noConfirm)
  upstream.listChatflows = async () => []
  await t.rejects(sync.run(noConfirm), { code: 'sync_empty' })
  t.match(await catalogue.get('a'), { status: 'active' })
  t.match(await sync.run({ confirm: true }), { total_fetched: 0, deleted: 1 })
  t.match(await catalogue.get('a'), { status: 'deleted' })
  t.match(await sync.run(noConfirm), { deleted: 0 }, 'with nothing active an empty list is a good one')
})

t.test('a chatflow that cannot be read is an entry in error_details, and the others go on', async (t) => {
  const { sync, catalogue, upstream } = setUp(t, async () => [row('a'), row('b')])
  await sync.run(noConfirm)
  upstream.listChatflows = async () => [row('a', { name: 42 }), row('c'), row('d', { name: null })]
  const report = await sync.run(noConfirm)
  t.match(report, { total_fetched: 3, created: 1, updated: 0, deleted: 1, errors: 2 })
  t.strictSame(
    report.error_details.map(({ chatflow_id }) => chatflow_id),
    ['a', 'd']
  )
  t.match(await catalogue.get('a'), { status: 'error', name: 'Flow a', syncError: String })
  t.match(await catalogue.get('b'), { status: 'deleted' })
  t.equal(await catalogue.get('d'), undefined)
  t.strictSame(await catalogue.stats(), { total: 3, active: 1, deleted: 1, error: 1 })
})

t.test('while a row has no readable id nothing counts as missing', async (t) => {
  const { sync, catalogue, upstream } = setUp(t, async () => [row('a'), row('b')])
  await sync.run(noConfirm)
  upstream.listChatflows = async () => [row('a'), { name: 'which one?' }]
  const report = await sync.run(noConfirm)
  t.match(report, { updated: 1, deleted: 0, errors: 1 })
  t.strictSame(Object.keys(report.error_details[0] ?? {}), ['error'])
  t.match(await catalogue.get('b'), { status: 'active' })
})

t.test('runs never overlap, and callers who wait share the run that reads after them', async (t) => {
  const { sync, upstream } = setUp(t)
  const first = Promise.withResolvers<unknown[]>()
  let calls = 0
  let running = 0
  let most = 0
  upstream.listChatflows = async () => {
    calls++
    most = Math.max(most, ++running)
    const rows = await (calls === 1 ? first.promise : Promise.resolve([row('a'), row('b')]))
    running--
    return rows
  }
  const current = sync.run(noConfirm)
  await Promise.resolve()
  const later = [sync.run(noConfirm), sync.run(noConfirm), sync.run(noConfirm)]
  first.resolve([row('a')])
  t.match(await current, { created: 1 })
  const reports = await Promise.all(later)
  t.equal(calls, 2)
  t.equal(most, 1)
  for (const report of reports) t.match(report, { created: 1, updated: 1 })
})

t.test('a shutdown does not wait for a list that never comes', async (t) => {
  const { sync, ended } = setUp(t, () => new Promise<never>(() => {}))
  const running = sync.run(noConfirm)
  ended.abort()
  await t.rejects(running, { code: 'upstream_error' })
})
