import t from 'tap'
import { createUsers } from '../../src/auth/users.ts'
import { authParts, codeOf } from './parts.ts'

const NAMES = { username: null, email: null, role: 'user' } as const

t.test('usernames are unique without case, e-mail addresses trimmed and lower-cased', async (t) => {
  const { users } = authParts(t)
  const base = { role: 'user', passwordHash: 'none' } as const
  const row = await users.create({ ...base, username: 'Alice', email: ' Alice@Example.com ' })
  t.equal(row.username, 'Alice')
  t.equal(row.email, 'alice@example.com')
  t.equal(await codeOf(users.create({ ...base, username: 'aLICE', email: 'b@example.com' })), 'already_exists')
  t.equal(await codeOf(users.create({ ...base, username: 'bob', email: 'ALICE@example.com' })), 'already_exists')
  const attempts = ['carol', 'CAROL', 'Carol'].map((username, n) =>
    codeOf(users.create({ ...base, username, email: `c${n}@example.com` }))
  )
  t.equal((await Promise.all(attempts)).filter((code) => code === undefined).length, 1)
})

t.test('a username has 3 to 50 characters of the allowed set, an e-mail looks like one', async (t) => {
  const { users } = authParts(t)
  const create = (username: string, email: string) =>
    codeOf(users.create({ username, email, role: 'user', passwordHash: '-' }))
  for (const bad of ['ab', 'x'.repeat(51), 'with space', 'ümlaut', 'a/b', 'a\u0000bc', ''])
    t.equal(await create(bad, 'a@example.com'), 'validation_error', JSON.stringify(bad))
  for (const bad of ['', 'plain', '@example.com', 'a@', 'a b@c', `${'x'.repeat(250)}@a.de`, 'a@b\u0000c'])
    t.equal(await create('someone', bad), 'validation_error', JSON.stringify(bad))
  t.equal(await create('A.z_9@-', 'a@example.com'), undefined)
})

t.test('a user is found by id, username, e-mail, or whatever was typed', async (t) => {
  const { users, newUser } = authParts(t)
  const { id } = await newUser('alice')
  t.equal((await users.findById(id))?.id, id)
  t.equal((await users.findByUsername('ALICE'))?.id, id)
  t.equal((await users.findByEmail(' Alice@example.com'))?.id, id)
  t.equal((await users.findByLogin('alice'))?.id, id)
  t.equal((await users.findByLogin('ALICE@example.com'))?.id, id)
  t.equal(await users.findByLogin('nobody'), undefined)
})

t.test('a login finds who can log in, whatever others are called', async (t) => {
  const { users, newUser } = authParts(t)
  const { id } = await newUser('alice')
  await users.seen({ ...NAMES, userId: 'foreign', username: 'Alice@example.com' })
  t.equal((await users.findByUsername('alice@example.com'))?.id, 'foreign')
  t.equal((await users.findByLogin('alice@example.com'))?.id, id)
})

t.test('a deleted user is found no more, frees the names, and stays a tombstone', async (t) => {
  const { users, newUser } = authParts(t)
  const { id } = await newUser('alice')
  await users.remove(id)
  t.equal(await users.findById(id), undefined)
  t.equal(await users.findByLogin('alice'), undefined)
  t.strictSame(await users.list({ limit: 10 }), [])
  t.equal(await codeOf(users.remove(id)), 'user_not_found')
  t.equal(await codeOf(users.update(id, { isActive: true })), 'user_not_found')
  const stone = await users.seen({ ...NAMES, userId: id, username: 'alice' })
  t.type(stone.deletedAt, 'number')
  t.equal(stone.passwordHash, undefined)
  t.ok(await newUser('alice'), 'the names are free')
})

t.test('an e-mail that another user has is refused, the own one is not', async (t) => {
  const { users, newUser } = authParts(t)
  const alice = await newUser('alice')
  await newUser('bob')
  t.equal(await codeOf(users.update(alice.id, { email: 'bob@example.com' })), 'already_exists')
  t.equal((await users.update(alice.id, { email: 'alice@example.com', role: 'premium' })).after.role, 'premium')
  t.equal(await codeOf(users.update('nobody', { isActive: false })), 'user_not_found')
})

t.test('each of many changes at once knows what it changed', async (t) => {
  const { users, newUser } = authParts(t)
  const { id } = await newUser('alice')
  const names = Array.from({ length: 8 }, (_, n) => `a${n}@example.com`)
  const changes = await Promise.all(names.map((email) => users.update(id, { email })))
  const starts = changes.map(({ before }) => before.email)
  const ends = changes.map(({ after }) => after.email)
  t.equal(new Set(starts).size, 8, 'no two began with the same')
  const last = (await users.findById(id))?.email
  t.strictSame(new Set([...starts, last]), new Set(['alice@example.com', ...ends]))
})

t.test('an administrator whose new e-mail is taken stays as he was', async (t) => {
  const { users, newUser } = authParts(t)
  const boss = await newUser('boss', 'admin')
  await newUser('deputy', 'admin')
  await newUser('bob')
  const change = { email: 'bob@example.com', role: 'user' } as const
  t.equal(await codeOf(users.update(boss.id, change)), 'already_exists')
  const { role, leavingAdmin } = (await users.findById(boss.id)) ?? {}
  t.strictSame({ role, leavingAdmin }, { role: 'admin', leavingAdmin: undefined })
})

t.test('the last active administrator is not demoted, disabled or deleted', async (t) => {
  const { users, newUser } = authParts(t)
  const boss = await newUser('boss', 'admin')
  const deputy = await newUser('deputy', 'admin')
  await users.seen({ ...NAMES, userId: 'foreign-admin', role: 'admin' })
  await users.update(deputy.id, { isActive: false })
  t.equal(await codeOf(users.update(boss.id, { role: 'user' })), 'last_admin')
  t.equal(await codeOf(users.update(boss.id, { isActive: false })), 'last_admin')
  t.equal(await codeOf(users.remove(boss.id)), 'last_admin')
  await users.update(deputy.id, { isActive: true })
  t.equal((await users.update(boss.id, { role: 'user' })).after.role, 'user')
  t.equal(await codeOf(users.remove(deputy.id)), 'last_admin')
})

t.test('of administrators that demote each other at once, one is left', async (t) => {
  const { users, newUser } = authParts(t)
  const admins = await Promise.all(['one', 'two', 'three', 'four'].map((name) => newUser(name, 'admin')))
  const outcomes = await Promise.all(
    admins.map(({ id }, n) => codeOf(n % 2 ? users.remove(id) : users.update(id, { role: 'user' })))
  )
  t.strictSame(outcomes.filter((code) => code === 'last_admin').length, 1)
  t.ok(await users.hasActiveAdmin())
})

t.test('two processes never take the last administrator away together', async (t) => {
  const { users, store, clock, ids, newUser } = authParts(t)
  const other = createUsers({ store, clock, ids })
  for (let round = 0; round < 20; round++) {
    const [one, two] = await Promise.all([newUser(`one-${round}`, 'admin'), newUser(`two-${round}`, 'admin')])
    const outcomes = await Promise.all([
      codeOf(users.update(one.id, { role: 'user' })),
      codeOf(other.update(two.id, { isActive: false }))
    ])
    t.ok(outcomes.includes('last_admin'), JSON.stringify(outcomes))
    for (const { id } of await users.list({ limit: 100 })) await users.remove(id).catch(() => undefined)
    const left = await users.list({ limit: 100 })
    t.equal(left.length, 1, 'only an administrator cannot be removed')
    await store.collection('users').remove(left[0]?.id ?? '')
  }
})

t.test('the mark that a crash left is cleared at the next start', async (t) => {
  const { users, store, newUser } = authParts(t)
  const boss = await newUser('boss', 'admin')
  const deputy = await newUser('deputy', 'admin')
  await store.collection('users').update(deputy.id, {}, { set: { leavingAdmin: 'crashed' } })
  t.equal(await codeOf(users.update(boss.id, { role: 'user' })), 'last_admin')
  await users.clearMarks()
  t.equal(await codeOf(users.update(boss.id, { role: 'user' })), undefined)
})

t.test('a user seen first through a token gets a row, without names that others have', async (t) => {
  const { users, newUser } = authParts(t)
  await newUser('alice')
  const claims = { userId: 'u1', username: 'Alice', email: 'alice@example.com', role: 'premium' } as const
  const row = await users.seen(claims)
  t.match(row, { id: 'u1', username: null, role: 'premium', origin: 'token', isActive: true })
  t.notOk('email' in row)
  const free = await users.seen({ ...claims, userId: 'u2', username: 'dora', email: 'dora@example.com' })
  t.match(free, { username: 'dora', email: 'dora@example.com' })
  const together = await Promise.all(
    [1, 2, 3].map(() => users.seen({ ...claims, userId: 'u3', username: 'eve', email: null }))
  )
  t.strictSame(
    together.map(({ username }) => username),
    ['eve', 'eve', 'eve']
  )
})

t.test('the list is in order of creation and searches the start of both names', async (t) => {
  const { users, clock, newUser } = authParts(t)
  for (const name of ['anna', 'bert', 'Anton', 'carl']) {
    await newUser(name)
    clock.advance(1)
  }
  await users.create({ username: 'zoe', email: 'an.zoe@example.com', role: 'user', passwordHash: '-' })
  const names = async (prefix: string) => (await users.list({ prefix, limit: 10 })).map(({ username }) => username)
  t.strictSame(await names(''), ['anna', 'bert', 'Anton', 'carl', 'zoe'])
  t.strictSame(await names('AN'), ['anna', 'Anton', 'zoe'])
  t.strictSame(await names('anna'), ['anna'], 'once, though both names match')
  t.strictSame(await names('nna'), [])
  t.strictSame(await names('%'), [])
  const [first] = await users.list({ prefix: 'an', limit: 1 })
  const after = { value: first?.createdAt ?? 0, id: first?.id ?? '' }
  t.strictSame(
    (await users.list({ prefix: 'an', after, limit: 1 })).map(({ username }) => username),
    ['Anton']
  )
})
