import t from 'tap'
import { createEmbedTokens } from '../../src/auth/embed-tokens.ts'
import type { SessionRow } from '../../src/store/collections.ts'
import { createFakeClock } from '../clock.ts'
import { operationsOf } from '../gates/operations.ts'
import { buildTestApp, type TestApp } from '../helper.ts'
import { ask, askEmbedded, echo, makeEmbedToken, makeKey, outcome, report } from './keys.ts'

const KEYS = '/api/v1/auth/api-keys'
const EMBED_TOKENS = '/api/v1/auth/embed-tokens'
const MINUTE_MS = 60_000

async function setUp(t: Parameters<typeof buildTestApp>[0], options: Parameters<typeof buildTestApp>[1] = {}) {
  const clock = createFakeClock(Date.now())
  const gateway = await buildTestApp(t, { clock, ...options })
  const user = await gateway.createUser({ credits: 100, grants: [echo, report] })
  return { clock, gateway, user, ...(await makeKey(gateway, user)) }
}

/** Status and code of a reply on Flowise's path, whatever form its body has. */
async function askedAs(gateway: TestApp, token: string, more: Parameters<typeof askEmbedded>[2] = {}) {
  const { statusCode, headers } = await askEmbedded(gateway, token, more)
  return [statusCode, headers['x-gateway-code']]
}

t.test('a token is for one chatflow, an hour, and a visitor; the widget takes api_host', async (t) => {
  const { clock, gateway, key } = await setUp(t)
  const made = await makeEmbedToken(gateway, key)
  t.match(made, { token: /^fge_/, chatflow_id: echo, visitor_id: /^[a-z2-7]{26}$/ })
  t.equal(made.api_host, `http://localhost:80/e/${made.token}`)
  t.ok(Math.abs(Date.parse(made.expires_at) - clock.now() - 60 * MINUTE_MS) <= 1000)
  const path = new URL(`${made.api_host}/api/v1/prediction/${echo}`).pathname
  const reply = await gateway.request('POST', path, { body: { question: 'hello' } })
  t.match(reply.json(), { text: 'hello' })
  t.strictSame(await askedAs(gateway, made.token, { chatflowId: report }), [403, 'chatflow_forbidden'])
  t.strictSame(await askedAs(gateway, made.token, { chatflowId: 'nothing' }), [404, 'chatflow_not_found'])
})

t.test('api_host is where clients reach the gateway', async (t) => {
  const named = await setUp(t, { env: { PUBLIC_BASE_URL: 'https://chat.example.com/gateway' } })
  const made = await makeEmbedToken(named.gateway, named.key)
  t.equal(made.api_host, `https://chat.example.com/gateway/e/${made.token}`)
  const behind = await setUp(t, { env: { TRUST_PROXY: '1' } })
  const headers = { 'x-forwarded-host': 'front.example.com', 'x-forwarded-proto': 'https' }
  const body = { chatflow_id: echo }
  const reply = await behind.gateway.request('POST', EMBED_TOKENS, { token: behind.key, body, headers })
  t.match(reply.json().api_host, /^https:\/\/front\.example\.com\/e\/fge_/)
  const direct = await named.gateway.request('POST', EMBED_TOKENS, { token: named.key, body, headers })
  t.notMatch(direct.body, 'front.example.com', 'who is not believed names nothing')
})

t.test('what cannot be made is refused, and says where', async (t) => {
  const { gateway, user, key } = await setUp(t)
  const make = (body: object, token = key) => gateway.request('POST', EMBED_TOKENS, { token, body })
  const wrong: [object, string[]][] = [
    [{ expires_in: 59 }, ['body', 'expires_in']],
    [{ expires_in: 86_401 }, ['body', 'expires_in']],
    [{ visitor_id: '' }, ['body', 'visitor_id']],
    [{ visitor_id: 'a b' }, ['body', 'visitor_id']],
    [{ visitor_id: 'a'.repeat(129) }, ['body', 'visitor_id']],
    [{ origins: ['*'.repeat(8)] }, ['body', 'origins', '0']],
    [{ origins: ['https://a.example', 'https://b.example/path'] }, ['body', 'origins', '1']],
    [{ origins: ['ftp://a.example'] }, ['body', 'origins', '0']],
    [{ origins: ['https://*.example'] }, ['body', 'origins', '0']],
    [{ origins: Array.from({ length: 21 }, (_, i) => `https://a${i}.example`) }, ['body', 'origins']],
    [
      {
        origins: Array.from(
          { length: 20 },
          (_, i) => `https://${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.x${i}`
        )
      },
      ['body', 'origins']
    ]
  ]
  for (const [more, loc] of wrong) {
    const reply = await make({ chatflow_id: echo, ...more })
    t.equal(reply.statusCode, 422, JSON.stringify(more))
    t.match(reply.json().errors?.[0].loc, loc, JSON.stringify(more))
  }
  t.strictSame(outcome(await make({ chatflow_id: 'nothing' })), [404, 'chatflow_not_found'])
  const reader = await makeKey(gateway, user, { scopes: ['read'] })
  t.strictSame(outcome(await make({ chatflow_id: echo }, reader.key)), [403, 'scope_required'])
  const confined = await makeKey(gateway, user, { chatflow_ids: [report] })
  t.strictSame(outcome(await make({ chatflow_id: echo }, confined.key)), [403, 'chatflow_forbidden'])
  t.strictSame(outcome(await make({ chatflow_id: echo }, gateway.admin.token)), [403, 'chatflow_forbidden'])
  const { token } = await makeEmbedToken(gateway, key)
  t.strictSame(outcome(await make({ chatflow_id: echo }, token)), [401, 'invalid_token'], 'a token is no bearer')
  t.strictSame(outcome(await gateway.request('POST', `/e/${token}${EMBED_TOKENS}`, { body: { chatflow_id: echo } })), [
    404,
    'not_found'
  ])
})

t.test('a token ends with its time, its key, the secret of the key, its owner, and the grant', async (t) => {
  const { clock, gateway, user, id, key } = await setUp(t)
  const admin = gateway.admin.token
  const short = await makeEmbedToken(gateway, key, { expires_in: 60 })
  const made = await makeEmbedToken(gateway, key)
  const dying = await makeKey(gateway, user)
  const orphan = await makeEmbedToken(gateway, dying.key)
  t.strictSame(await askedAs(gateway, orphan.token), [200, undefined])
  await gateway.request('DELETE', `${KEYS}/${dying.id}`, { token: user.token })
  t.strictSame(await askedAs(gateway, orphan.token), [401, 'token_revoked'])
  clock.advance(MINUTE_MS)
  t.strictSame(await askedAs(gateway, short.token), [401, 'token_expired'])
  t.strictSame(await askedAs(gateway, made.token), [200, undefined])

  const rotation = await gateway.request('POST', `${KEYS}/${id}/rotate`, {
    token: user.token,
    body: { overlap_hours: 0 }
  })
  t.strictSame(await askedAs(gateway, made.token), [401, 'token_revoked'])
  const renewed = await makeEmbedToken(gateway, rotation.json().api_key)
  await gateway.request('POST', `${KEYS}/${id}/rotate`, { token: user.token, body: { overlap_hours: 1 } })
  t.strictSame(await askedAs(gateway, renewed.token), [200, undefined], 'the old secret overlaps')
  const last = await makeEmbedToken(gateway, rotation.json().api_key, { expires_in: 86_400 })
  t.ok(Date.parse(last.expires_at) <= clock.now() + 60 * MINUTE_MS, 'and says when it ends')

  await gateway.request('DELETE', `/admin/chatflows/${echo}/users?user_id=${user.id}`, { token: admin })
  t.strictSame(await askedAs(gateway, renewed.token), [403, 'chatflow_forbidden'])
  await gateway.request('POST', `/admin/chatflows/${echo}/users`, { token: admin, body: { user_id: user.id } })
  t.strictSame(await askedAs(gateway, renewed.token), [200, undefined])
  await gateway.request('PATCH', `/admin/users/${user.id}`, { token: admin, body: { is_active: false } })
  t.strictSame(await askedAs(gateway, renewed.token), [401, 'user_disabled'])
})

t.test('a login makes tokens too; they end with it', async (t) => {
  const { gateway, user } = await setUp(t)
  const [made, kept] = [await makeEmbedToken(gateway, user.token), await gateway.login(user.username, user.password)]
  const other = await makeEmbedToken(gateway, kept.access_token)
  t.strictSame(await askedAs(gateway, made.token), [200, undefined])
  await gateway.request('POST', '/chat/revoke', { token: user.token })
  t.strictSame(await askedAs(gateway, made.token), [401, 'token_revoked'])
  t.strictSame(await askedAs(gateway, other.token), [200, undefined])
  await gateway.request('PATCH', `/admin/users/${user.id}`, {
    token: gateway.admin.token,
    body: { password: 'another one' }
  })
  t.strictSame(await askedAs(gateway, other.token), [401, 'token_revoked'])
})

t.test('visitors share no chat, neither with each other nor with their owner', async (t) => {
  const { gateway, user, key } = await setUp(t)
  const [one, two] = [await makeEmbedToken(gateway, key), await makeEmbedToken(gateway, key, { visitor_id: 'b' })]
  const again = await makeEmbedToken(gateway, key, { visitor_id: one.visitor_id })
  for (const { token } of [one, two, again])
    t.equal((await askEmbedded(gateway, token, { chatId: 'same' })).statusCode, 200)
  t.equal((await ask(gateway, user.token, { sessionId: 'same' })).statusCode, 200)
  const rows = await gateway.app.store.collection<SessionRow>('sessions').list({ limit: 10 })
  t.strictSame(new Set(rows.map(({ userId }) => userId)), new Set([user.id]))
  t.strictSame(
    rows.map(({ messageCount }) => messageCount).toSorted((a, b) => a - b),
    [2, 2, 4],
    'who comes again with the same visitor_id goes on'
  )
})

t.test('one idempotency key of two visitors is two keys', async (t) => {
  const { gateway, key } = await setUp(t)
  const [one, two] = [await makeEmbedToken(gateway, key), await makeEmbedToken(gateway, key)]
  const headers = { 'idempotency-key': 'same' }
  const first = await askEmbedded(gateway, one.token, { headers })
  const theirs = await askEmbedded(gateway, two.token, { headers })
  t.equal(first.headers['idempotency-replayed'], undefined)
  t.equal(theirs.headers['idempotency-replayed'], undefined)
  t.equal((await askEmbedded(gateway, one.token, { headers })).headers['idempotency-replayed'], 'true')
})

t.test('below a token there is only what is meant for pages; nothing in the path changes that', async (t) => {
  const { gateway, user, key } = await setUp(t)
  const { token } = await makeEmbedToken(gateway, key)
  const { request } = gateway
  const document = (await request('GET', '/openapi.json')).json()
  const isForPages = ({ path }: { path: string }) =>
    /^\/api\/v1\/(?!chat\/|admin\/|auth\/|chatflows(\/|$)|test-stream)/.test(path)
  const outside = operationsOf(document).filter((operation) => !isForPages(operation))
  t.ok(outside.length > 40)
  for (const { method, path, body } of outside) {
    const url = `/e/${token}${path.replaceAll(/\{\w+\}/g, 'x')}`
    const reply = await request(method, url, { token: user.token, ...(body ? { body: {} } : {}) })
    t.strictSame(outcome(reply), [404, 'not_found'], `${method} ${path}`)
    t.notMatch(reply.body, 'fge_')
  }
})

t.test('the token of the path counts alone, and a wrong one opens nothing', async (t) => {
  const { gateway, user, key } = await setUp(t)
  const { token } = await makeEmbedToken(gateway, key)
  const beside = { authorization: `Bearer ${user.token}`, 'x-api-key': key }
  t.strictSame(await askedAs(gateway, token, { chatflowId: report, headers: beside }), [403, 'chatflow_forbidden'])
  const forged = createEmbedTokens('another-secret-another-secret-another').sign({
    minter: { kind: 'login', userId: user.id, sid: 'x' },
    chatflowId: echo,
    visitorId: 'v',
    origins: [],
    expiresAt: Date.now() + 3_600_000
  })
  for (const wrong of [forged, 'x', '%00', 'fge_', key, user.token, `${token}A`, token.slice(0, -2), 'a'.repeat(5000)])
    t.strictSame(await askedAs(gateway, wrong, { headers: beside }), [401, 'invalid_token'], wrong.slice(0, 40))
})
