import t, { type Test } from 'tap'
import { createGrants } from '../../src/permissions/grants.ts'
import { createReview } from '../../src/permissions/review.ts'
import type { ChatflowRow, UserRow } from '../../src/store/collections.ts'
import { createFakeClock } from '../clock.ts'
import { openTempStore } from '../temp-store.ts'

const user = (id: string, isActive = true): UserRow => ({
  id,
  username: id,
  role: 'user',
  isActive,
  origin: 'local',
  externalId: null,
  tokensValidFromAt: 0,
  createdAt: 1,
  updatedAt: 1
})
const chatflow = (id: string, status: ChatflowRow['status']): ChatflowRow => ({
  id,
  name: `Flow ${id}`,
  description: null,
  category: null,
  type: 'CHATFLOW',
  deployed: true,
  isPublic: false,
  status,
  syncError: null,
  syncedAt: 1,
  createdAt: 1,
  updatedAt: 1
})

/** Grants on a live and a deleted chatflow for a good user, a disabled one and one who is gone. */
async function setUp(t: Test) {
  const store = openTempStore(t)
  const users = store.collection<UserRow>('users')
  const chatflows = store.collection<ChatflowRow>('chatflows')
  await Promise.all([users.insert(user('good')), users.insert(user('disabled', false))])
  await Promise.all([chatflows.insert(chatflow('live', 'active')), chatflows.insert(chatflow('gone', 'deleted'))])
  const grants = createGrants(store)
  for (const userId of ['good', 'disabled', 'missing'])
    await grants.assign({ userId, chatflowId: 'live' }, { assignedBy: 'a', now: 1 })
  await grants.assign({ userId: 'good', chatflowId: 'gone' }, { assignedBy: 'a', now: 1 })
  const source = {
    get: (id: string) => chatflows.get(id),
    recent: (id: string) => chatflows.recent(id),
    list: async () => []
  }
  const people = {
    findById: (id: string) => users.get(id),
    findByUsername: async () => undefined,
    findByEmail: async () => undefined
  }
  return {
    grants,
    people,
    review: createReview({ grants, chatflows: source, users: people, clock: createFakeClock() })
  }
}

t.test('an audit counts every grant and names what is wrong with the bad ones', async (t) => {
  const { review } = await setUp(t)
  const audit = await review.audit()
  t.match(audit, {
    total_assignments: 4,
    valid_assignments: 1,
    invalid_assignments: 3,
    assignments_by_issue_type: { user_not_found: 1, user_inactive: 1, chatflow_deleted: 1 },
    chatflows_affected: 2
  })
  const found = audit.invalid_user_details.map(({ user_id, chatflow_id, chatflow_name, issue_type }) =>
    [user_id, chatflow_id, chatflow_name, issue_type].join(' ')
  )
  t.strictSame(found.sort(), [
    'disabled live Flow live user_inactive',
    'good gone Flow gone chatflow_deleted',
    'missing live Flow live user_not_found'
  ])
  t.match(await review.audit('gone'), { total_assignments: 1, invalid_assignments: 1, chatflows_affected: 1 })
  await t.rejects(review.audit('nobody'), { code: 'chatflow_not_found' })
})

t.test('a dry run counts and changes nothing', async (t) => {
  const { review } = await setUp(t)
  const result = await review.cleanup({ action: 'delete_invalid', isDryRun: true })
  t.match(result, { total_records_processed: 4, invalid_assignments: 3, records_deleted: 0, records_deactivated: 0 })
  t.match(await review.audit(), { total_assignments: 4 })
})

t.test('deactivating leaves the rows, deleting removes them, and good grants stay', async (t) => {
  const { review, grants } = await setUp(t)
  const some = { action: 'deactivate_invalid', chatflowIds: ['gone', 'gone'], isDryRun: false } as const
  t.match(await review.cleanup(some), {
    total_records_processed: 1,
    records_deactivated: 1,
    records_deleted: 0,
    errors: 0
  })
  t.match(await grants.find({ userId: 'good', chatflowId: 'gone' }), { isActive: false })
  const all = await review.cleanup({ action: 'delete_invalid', isDryRun: false })
  t.match(all, { total_records_processed: 3, invalid_assignments: 2, records_deleted: 2, error_details: [] })
  t.equal(await grants.find({ userId: 'missing', chatflowId: 'live' }), undefined)
  t.match(await review.audit(), { total_assignments: 1, valid_assignments: 1, invalid_assignments: 0 })
})

t.test('when users cannot be looked up nobody counts as missing', async (t) => {
  const { review, people, grants } = await setUp(t)
  people.findById = async () => Promise.reject(new Error('store is away'))
  await t.rejects(review.audit(), /store is away/)
  await t.rejects(review.cleanup({ action: 'delete_invalid', isDryRun: false }), /store is away/)
  t.match(await grants.find({ userId: 'missing', chatflowId: 'live' }), { isActive: true })
})
