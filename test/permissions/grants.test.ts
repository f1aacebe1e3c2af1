import t from 'tap'
import { createGrants, grantId } from '../../src/permissions/grants.ts'
import { openTempStore } from '../temp-store.ts'

const key = { userId: 'u1', chatflowId: 'c1' }

t.test('a first assignment is Assigned, a repeated one No Action, one after a removal Reactivated', async (t) => {
  const grants = createGrants(openTempStore(t))
  t.equal(await grants.assign(key, { assignedBy: 'a1', now: 1 }), 'Assigned')
  t.equal(await grants.assign(key, { assignedBy: 'a2', now: 2 }), 'No Action')
  t.match(await grants.find(key), { assignedBy: 'a1', assignedAt: 1, isActive: true })
  t.equal(await grants.revoke(key, 3), true)
  t.equal(await grants.revoke(key, 4), false, 'there is nothing left to remove')
  t.equal(await grants.assign(key, { assignedBy: 'a2', now: 5 }), 'Reactivated')
  t.match(await grants.find(key), { assignedBy: 'a2', assignedAt: 5, isActive: true })
})

t.test('of fifty assignments at once exactly one is Assigned and one row exists', async (t) => {
  const grants = createGrants(openTempStore(t))
  const results = await Promise.all(Array.from({ length: 50 }, () => grants.assign(key, { assignedBy: 'a', now: 1 })))
  t.equal(results.filter((result) => result === 'Assigned').length, 1)
  t.equal(results.filter((result) => result === 'No Action').length, 49)
  t.equal(await grants.countOfChatflow('c1'), 1)
})

t.test('ids that could be read in two ways belong to different grants', async (t) => {
  t.not(grantId({ userId: 'a","b', chatflowId: 'c' }), grantId({ userId: 'a', chatflowId: 'b","c' }))
  t.not(grantId({ userId: '\ud800', chatflowId: 'c' }), grantId({ userId: '\ud801', chatflowId: 'c' }))
})

t.test("a user's grants are read in the order of chatflow ids, behind a given one, without removed ones", async (t) => {
  const grants = createGrants(openTempStore(t))
  for (const chatflowId of ['d', 'a', 'c', 'b'])
    await grants.assign({ userId: 'u1', chatflowId }, { assignedBy: 'a', now: 1 })
  await grants.assign({ userId: 'u2', chatflowId: 'bb' }, { assignedBy: 'a', now: 1 })
  await grants.revoke({ userId: 'u1', chatflowId: 'c' }, 2)
  const page = await grants.ofUser('u1', { afterId: 'a', limit: 10 })
  t.strictSame(
    page.map((row) => row.chatflowId),
    ['b', 'd']
  )
})

t.test("a chatflow's users are read oldest assignment first, page by page, in any number", async (t) => {
  const grants = createGrants(openTempStore(t))
  const users = Array.from({ length: 1200 }, (_, index) => `u${String(index).padStart(4, '0')}`)
  await Promise.all(
    users.map((userId, index) =>
      grants.assign({ userId, chatflowId: 'c1' }, { assignedBy: 'a', now: Math.floor(index / 7) })
    )
  )
  const all = await grants.ofChatflow('c1', { after: undefined, limit: 1100 })
  t.strictSame(
    all.map((row) => row.userId),
    users.slice(0, 1100)
  )
  const after = { assignedAt: all[9]?.assignedAt ?? 0, userId: 'u0009' }
  const next = await grants.ofChatflow('c1', { after, limit: 3 })
  t.strictSame(
    next.map((row) => row.userId),
    ['u0010', 'u0011', 'u0012']
  )
})

t.test('all rows of a user go, and nobody else loses any', async (t) => {
  const grants = createGrants(openTempStore(t))
  for (const chatflowId of ['a', 'b']) await grants.assign({ userId: 'u1', chatflowId }, { assignedBy: 'a', now: 1 })
  await grants.revoke({ userId: 'u1', chatflowId: 'b' }, 2)
  await grants.assign({ userId: 'u2', chatflowId: 'a' }, { assignedBy: 'a', now: 1 })
  t.equal(await grants.removeAllOf('u1'), 2)
  t.equal(await grants.find({ userId: 'u1', chatflowId: 'b' }), undefined)
  t.match(await grants.find({ userId: 'u2', chatflowId: 'a' }), { isActive: true })
})
