import t from 'tap'
import { createDirectory } from '../../src/auth/external-directory.ts'
import { createServiceLimit } from '../../src/auth/external-limit.ts'
import { createAuthService } from '../../src/auth/external-calls.ts'
import { type ExternalUser, readExternalUser } from '../../src/auth/external-user.ts'
import { createExternalUsers } from '../../src/auth/external-users.ts'
import { createHttpCaller } from '../../src/auth/http-call.ts'
import type { Identity } from '../../src/auth/identity.ts'
import { currentRole } from '../../src/auth/user-roles.ts'
import { createLocalBus } from '../../src/bus/local.ts'
import { createSystemClock } from '../../src/clock.ts'
import { startAuthStandIn } from '../stand-in/auth-service.ts'
import { authParts, codeOf } from './parts.ts'

const ALICE: ExternalUser = { id: 'a1', username: 'alice', email: 'alice@example.com', role: 'user', isVerified: true }

function parts(t: Parameters<typeof authParts>[0]) {
  const base = authParts(t)
  return { ...base, external: createExternalUsers(base) }
}

t.test('a user object is read by any of its names', async (t) => {
  const read = { id: 'a1', username: 'alice', email: 'alice@example.com', role: 'admin', isVerified: true } as const
  const rest = { username: 'alice', email: ' Alice@example.com', role: 'ADMIN' }
  t.strictSame(readExternalUser({ ...rest, id: 'a1', isVerified: true }), read)
  t.strictSame(readExternalUser({ ...rest, _id: 'a1', is_verified: true }), read)
  t.strictSame(readExternalUser({ ...rest, user_id: 'a1', isVerified: 'yes' }), { ...read, isVerified: undefined })
  for (const odd of [undefined, null, 'a1', [], {}, { id: 7 }, { id: '' }, { id: 'a\nb' }, { _id: { $oid: 'a1' } }])
    t.equal(readExternalUser(odd), undefined, JSON.stringify(odd))
  const poor = { id: 'a1', username: null, email: null, role: 'user', isVerified: undefined }
  t.strictSame(readExternalUser({ id: 'a1', username: 5, email: 'no address', role: 'enduser' }), poor)
})

t.test('the row follows the names and the role that the service says', async (t) => {
  const { external, users, clock } = parts(t)
  t.match(await external.sync(ALICE, clock.now()), { id: 'a1', username: 'alice', origin: 'token', externalId: 'a1' })
  clock.advance(1000)
  const change = { ...ALICE, username: 'Alicia', email: 'alicia@example.com', role: 'admin' } as const
  const row = await external.sync(change, clock.now())
  t.strictSame(row, await users.findById('a1'), 'what is answered is what is stored')
  t.match(row, { username: 'Alicia', email: 'alicia@example.com', role: 'admin', updatedAt: clock.now() })
  t.equal(await users.findByUsername('alice'), undefined)
  clock.advance(1000)
  const again = await external.sync(change, clock.now())
  t.equal(again.updatedAt, row.updatedAt, 'no news is no update')
  t.strictSame(await external.sync({ ...change, username: null, email: null }, clock.now()), await users.findById('a1'))
  t.equal(await users.findByEmail('alicia@example.com'), undefined)
})

t.test('newer names win over stale ones of others, never over accounts of the gateway', async (t) => {
  const { external, users, clock, newUser } = parts(t)
  const local = await newUser('local-one')
  await external.sync(ALICE, clock.now())
  const bob = { ...ALICE, id: 'b1' }
  t.match(await external.sync(bob, clock.now()), { username: 'alice', email: 'alice@example.com' })
  const stale = await users.findById('a1')
  t.match(stale, { username: null })
  t.notOk(stale?.email)
  const thief = { ...ALICE, id: 'c1', username: 'LOCAL-ONE', email: 'local-one@example.com' }
  t.match(await external.sync(thief, clock.now()), { username: null })
  t.equal((await users.findByEmail('local-one@example.com'))?.id, local.id)
  t.strictSame(await external.sync({ ...ALICE, id: local.id, role: 'admin' }, clock.now()), local, 'nor over its role')
})

t.test('a deleted user stays deleted', async (t) => {
  const { external, users, clock } = parts(t)
  await external.sync(ALICE, clock.now())
  await users.remove('a1')
  t.type((await external.sync(ALICE, clock.now())).deletedAt, 'number')
  t.equal(await users.findById('a1'), undefined)
})

t.test('rows made and updated at the same time come to one of the states', async (t) => {
  const { external, users, clock } = parts(t)
  const forms = Array.from({ length: 8 }, (_, n) => ({ ...ALICE, username: `alice-${n}`, email: `a${n}@example.com` }))
  await Promise.all(forms.map((form) => external.sync(form, clock.now())))
  const row = await users.findById('a1')
  t.ok(forms.some(({ username, email }) => row?.username === username && row.email === email))
})

t.test('the role is the newest that is known', async (t) => {
  const { external, users, clock } = parts(t)
  const early = { role: 'admin', issuedAt: clock.now() } as const
  const seen = (token: { role: 'admin' | 'user'; issuedAt: number }) =>
    users.seen({ userId: 'a1', username: null, email: null, ...token })
  t.equal(currentRole(await seen(early), early), 'admin')
  clock.advance(5000)
  await external.sync(ALICE, clock.now())
  t.equal(currentRole(await seen(early), early), 'user', 'read after the token was issued')
  clock.advance(5000)
  const late = { role: 'admin', issuedAt: clock.now() } as const
  t.equal(currentRole(await seen(late), late), 'admin', 'issued after the read')
  t.equal((await users.findById('a1'))?.role, 'admin', 'and the row follows')
  t.equal((await seen({ role: 'user', issuedAt: 0 })).role, 'admin', 'not back to what was before')
})

t.test('administrators find users of the service by id and e-mail, with their own bearer', async (t) => {
  const { external, users, newUser } = parts(t)
  const clock = createSystemClock()
  const stand = await startAuthStandIn()
  const http = createHttpCaller(clock)
  t.teardown(async () => {
    await http.close()
    await stand.close()
  })
  const limit = createServiceLimit(clock, createLocalBus(clock))
  const service = createAuthService({ baseUrl: stand.url, timeoutMs: 500, http, limit })
  const directory = createDirectory({ users, external: { service, users: external }, clock })
  const as = (role: string, isForeign?: true) => {
    const { accessToken: bearer } = stand.pair(stand.add({ role }))
    return { bearer, token: { isForeign } } as unknown as Identity
  }
  const admin = directory.known(as('admin'))
  const carol = stand.add({ username: 'carol', email: 'carol+x@example.com', role: 'Premium' })
  const local = await newUser('local-one')

  t.equal((await admin.findById(local.id))?.id, local.id)
  t.equal(await admin.findByUsername('carol'), undefined, 'by name only who is known')
  t.equal(stand.calls.length, 0)
  t.match(await admin.findByEmail(' Carol+X@example.com'), { id: carol.id, username: 'carol', role: 'premium' })
  t.equal(stand.calls[0]?.path, '/api/admin/users/by-email/carol%2Bx%40example.com')
  t.match(await admin.findByUsername('carol'), { id: carol.id })
  t.match(await admin.findById(carol.id), { id: carol.id })
  t.equal(stand.calls.length, 1, 'known from then on')
  t.equal(await admin.findById('0'.repeat(24)), undefined)
  t.equal(await admin.findByEmail('nobody@example.com'), undefined)
  t.equal(await admin.findById('../../profile'), undefined, 'an id that the service cannot have')
  t.equal(stand.calls.length, 3)

  const current = directory.current(as('admin'))
  stand.add({ ...carol, email: 'carol@example.com' })
  t.match(await current.findById(carol.id), { email: 'carol@example.com' }, 'asked although known')
  stand.remove(carol.id)
  t.equal(await current.findById(carol.id), undefined)
  t.equal((await current.findById(local.id))?.id, local.id, 'an account of the gateway is not the service’s')

  t.equal(await codeOf(directory.known(as('user')).findByEmail('x@example.com')), 'role_required')
  t.equal(await directory.known(as('admin', true)).findByEmail('x@example.com'), undefined, 'its tokens only')
  const stranger = { bearer: 'x.y.z', token: {} } as unknown as Identity
  t.equal(await codeOf(directory.known(stranger).findByEmail('x@example.com')), 'invalid_token')
  const faults = [
    { status: 500 },
    { status: 429 },
    { reset: true },
    { hang: true },
    { body: '{"user":{}}' },
    { body: '<' }
  ]
  for (const fault of [...faults, { body: '{"user":{"id":"x","email":"other@example.com"}}' }]) {
    stand.next('@example.com'.replace('@', '%40'), fault)
    t.equal(await codeOf(admin.findByEmail('x@example.com')), 'auth_unavailable', JSON.stringify(fault))
  }
})

t.test('without an auth service the directory is what is known here', async (t) => {
  const { users, newUser, clock } = parts(t)
  const { id } = await newUser('alice')
  const finder = createDirectory({ users, external: undefined, clock }).current({} as unknown as Identity)
  t.equal((await finder.findByEmail('alice@example.com'))?.id, id)
  t.equal((await finder.findByUsername('alice'))?.id, id)
  t.equal(await finder.findById('nobody'), undefined)
})
