import t from 'tap'
import { ensureFirstAdmin } from '../../src/auth/first-admin.ts'
import { createPasswords } from '../../src/auth/passwords.ts'
import { loadConfig } from '../../src/config.ts'
import { authParts, countingBcrypt } from './parts.ts'

const ADMIN = { username: 'admin', password: undefined, email: 'admin@example.com' }

const LOCAL = loadConfig({}).auth
const EXTERNAL = loadConfig({ EXTERNAL_AUTH_URL: 'http://auth' }).auth

function parts(t: Parameters<typeof authParts>[0], auth = LOCAL) {
  const { users, ids, newUser } = authParts(t)
  const passwords = createPasswords(countingBcrypt())
  const ensure = (admin: typeof ADMIN | { username: string; password: string; email: string }) =>
    ensureFirstAdmin({ users, passwords, ids, config: { auth, admin } })
  return { users, passwords, newUser, ensure }
}

t.test('without a password a random one is made, and it works', async (t) => {
  const { users, passwords, ensure } = parts(t)
  const made = await ensure(ADMIN)
  t.match(made, { username: 'admin', generatedPassword: /^.{32,72}$/ })
  const row = await users.findByUsername('admin')
  t.match(row, { role: 'admin', isActive: true, email: 'admin@example.com' })
  t.equal(await passwords.verify(made?.generatedPassword ?? '', row?.passwordHash), true)
})

t.test('a configured password is used and not repeated', async (t) => {
  const { users, passwords, ensure } = parts(t)
  const made = await ensure({ ...ADMIN, password: 'a chosen password' })
  t.notOk(made && 'generatedPassword' in made)
  t.equal(await passwords.verify('a chosen password', (await users.findByUsername('admin'))?.passwordHash), true)
})

t.test('while there is an active administrator, nothing is made or changed', async (t) => {
  const { users, newUser, ensure } = parts(t)
  await newUser('boss', 'admin')
  t.equal(await ensure({ ...ADMIN, password: 'a chosen password' }), undefined)
  t.equal(await users.findByUsername('admin'), undefined)
})

t.test('an administrator of another service is not one who can log in here', async (t) => {
  const { users, ensure } = parts(t)
  await users.seen({ userId: 'foreign', username: null, email: null, role: 'admin' })
  t.ok(await ensure(ADMIN))
})

t.test('two processes that start at once make one administrator', async (t) => {
  const { ensure } = parts(t)
  const made = await Promise.all([ensure(ADMIN), ensure(ADMIN)])
  t.equal(made.filter(Boolean).length, 1)
})

t.test('values that cannot be used are a sentence for the operator', async (t) => {
  const { newUser, ensure } = parts(t)
  await t.rejects(ensure({ ...ADMIN, password: 'short' }), /ADMIN_ variables.*8 characters/)
  await t.rejects(ensure({ ...ADMIN, username: 'a b' }), /ADMIN_ variables.*username/)
  await newUser('admin')
  await t.rejects(ensure(ADMIN), /ADMIN_ variables.*Another user has/)
})

t.test('no administrator is made here where an auth service knows them', async (t) => {
  const { users, ensure } = parts(t, EXTERNAL)
  t.equal(await ensure({ ...ADMIN, password: 'a chosen password' }), undefined)
  t.equal(await users.findByUsername('admin'), undefined)
})
