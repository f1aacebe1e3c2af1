import t, { type Test } from 'tap'
import { createCatalogue } from '../../src/chatflows/catalogue.ts'
import { createViews } from '../../src/chatflows/views.ts'
import { toCredits, toMicro } from '../../src/credits/pricing.ts'
import type { ChatflowRow } from '../../src/store/collections.ts'
import { openTempStore } from '../temp-store.ts'

const chatflow: ChatflowRow = {
  id: 'c1',
  name: 'Echo',
  description: null,
  category: null,
  type: 'CHATFLOW',
  deployed: false,
  isPublic: false,
  status: 'active',
  syncError: null,
  syncedAt: 3,
  createdAt: 1,
  updatedAt: 2
}

async function setUp(t: Test) {
  const store = openTempStore(t)
  await store.collection<ChatflowRow>('chatflows').insert(chatflow)
  const views = createViews({ defaultPriceMicro: 1_500_000, toCredits })
  return { catalogue: createCatalogue({ store, toMicro }), views }
}

t.test('settings are stored in micro-credits, absent ones stay, and null goes back to the default', async (t) => {
  const { catalogue, views } = await setUp(t)
  const metered = { per_1k_tokens: 0.5, floor: 0.000001, ceiling: 20 }
  await catalogue.patch('c1', { price: 0.25, metered, override_allow: ['vars', 'vars'], response_fields: [] })
  const set = await catalogue.patch('c1', { stream_events: ['token'] })
  t.match(set, {
    priceMicro: 250_000,
    metered: { per1kTokensMicro: 500_000, floorMicro: 1, ceilingMicro: 20_000_000 },
    overrideAllow: ['vars'],
    responseFields: [],
    streamEvents: ['token']
  })
  t.match(views.shownToAdmin(set ?? chatflow, { assignedAt: null, assignedUsers: 2 }), { price: 0.25, metered })
  const nothing = { price: null, metered: null, override_allow: null, response_fields: null, stream_events: null }
  const back = await catalogue.patch('c1', nothing)
  t.strictSame(back, chatflow)
})

t.test('a chatflow without a price is shown with the default price, and never with its definition', async (t) => {
  const { views } = await setUp(t)
  const stored = Object.assign({ flowData: '{}' }, chatflow)
  t.strictSame(views.shown(stored, null), {
    id: 'c1',
    name: 'Echo',
    description: null,
    category: null,
    type: 'CHATFLOW',
    deployed: false,
    is_public: false,
    price: 1.5,
    assigned_at: null,
    created_at: '1970-01-01T00:00:00.001Z',
    updated_at: '1970-01-01T00:00:00.002Z'
  })
})

const refused = [
  ['a price with seven decimals', { price: 0.0000001 }],
  ['a floor above the ceiling', { metered: { per_1k_tokens: 1, floor: 2, ceiling: 1 } }],
  ['the session id as a key that passes', { override_allow: ['vars', 'sessionId'] }],
  ['analytics as a key that passes', { override_allow: ['analytics'] }]
] as const
for (const [name, patch] of refused)
  t.test(`${name} is refused and changes nothing`, async (t) => {
    const { catalogue } = await setUp(t)
    await t.rejects(catalogue.patch('c1', JSON.parse(JSON.stringify(patch))), { code: 'validation_error' })
    t.strictSame(await catalogue.get('c1'), chatflow)
  })

t.test('settings of an unknown chatflow are nobody', async (t) => {
  const { catalogue } = await setUp(t)
  t.equal(await catalogue.patch('nobody', { price: 1 }), undefined)
})
