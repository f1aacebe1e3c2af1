import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp } from '../helper.ts'
import { operationsOf } from '../gates/operations.ts'
import { ask, echo, makeKey, outcome } from './keys.ts'

const KEYS = '/api/v1/auth/api-keys'

/** What a key of each scope may do; everything else that needs a login, it may not. */
const READING = [
  'chatflows.list',
  'chatflows.get',
  'chatflows.config',
  'sessions.list',
  'sessions.history',
  'files.get',
  'files.thumbnail',
  'files.list',
  'credits.balance',
  'credits.transactions'
]

/** Operations that no chat needs: those no key may use at all, and reports. */
const NOT_FOR_CHATS =
  /^(auth\.revoke|keys\.(?!createEmbedToken).*|sessions\.deleteAll|credits\.usage)$|^(admin|users|grants|audit|catalogue)\./

const gateway = await buildTestApp(t, { env: { RATE_LIMIT_PER_MINUTE: '0' } })
const { request, admin } = gateway
const document = (await request('GET', '/openapi.json')).json()
const idOf = (method: string, path: string): string => document.paths[path][method.toLowerCase()].operationId
const operations = operationsOf(document)
  .filter(({ isPublic }) => !isPublic)
  .map((operation) => ({ ...operation, id: idOf(operation.method, operation.path) }))

/** Whether a request gets past the scopes; what it would do has nothing to work on. */
async function isLetIn({ method, path, body }: (typeof operations)[number], key: string): Promise<boolean> {
  const url = path.replaceAll(/\{\w+\}/g, 'nothing')
  const reply = await request(method, url, { token: key, ...(body ? { body: {} } : {}) })
  if (reply.statusCode < 400 || !reply.body.startsWith('{')) return true
  const { code, error } = reply.json()
  return code !== 'scope_required' && error?.code !== 'scope_required'
}

t.test('a key with the scope read reads, and nothing else', async (t) => {
  const user = await gateway.createUser({ grants: [echo] })
  const { key } = await makeKey(gateway, user, { scopes: ['read'] })
  t.ok(operations.length > 40)
  for (const operation of operations)
    if (READING.includes(operation.id)) t.ok(await isLetIn(operation, key), operation.id)
    else if (operation.method !== 'GET') t.notOk(await isLetIn(operation, key), operation.id)
})

t.test('a key with the scope chat does what a chat needs, and administers nothing', async (t) => {
  const user = await gateway.createUser({ grants: [echo] })
  const { key } = await makeKey(gateway, user, { scopes: ['chat'] })
  for (const id of READING)
    t.ok(
      operations.some((operation) => operation.id === id),
      id
    )
  for (const operation of operations) {
    const isOpen = !NOT_FOR_CHATS.test(operation.id) && !operation.path.startsWith('/api/v1/admin/')
    t.equal(await isLetIn(operation, key), isOpen, operation.id)
  }
})

t.test('the key of an administrator is no administrator', async (t) => {
  const owner = { ...admin, email: admin.email }
  const { key } = await makeKey(gateway, owner)
  const administration = operations.filter(({ path }) => path.startsWith('/api/v1/admin/'))
  t.ok(administration.length > 20)
  for (const operation of administration) {
    const url = operation.path.replaceAll(/\{\w+\}/g, 'nothing')
    const reply = await request(operation.method, url, { token: key, ...(operation.body ? { body: {} } : {}) })
    t.strictSame(outcome(reply), [403, 'scope_required'], operation.id)
  }
  t.strictSame((await request('GET', '/chatflows', { token: key })).json(), [])
  t.match((await ask(gateway, key)).json(), { code: 'chatflow_forbidden', detail: /needs a grant, whatever role/ })
  t.equal((await request('GET', `/chatflows/${DEMO_IDS.echo}`, { token: key })).statusCode, 403)
})

t.test('a key makes no keys and no tokens of logins', async (t) => {
  const user = await gateway.createUser()
  const { id, key } = await makeKey(gateway, user)
  for (const [method, url, body] of [
    ['POST', KEYS, { name: 'more', scopes: ['chat', 'read'] }],
    ['GET', KEYS, undefined],
    ['PATCH', `${KEYS}/${id}`, { credit_budget: 1000 }],
    ['POST', `${KEYS}/${id}/rotate`, undefined],
    ['DELETE', `${KEYS}/${id}`, undefined],
    ['POST', '/chat/revoke', { all_tokens: true }],
    ['DELETE', '/chat/history', undefined]
  ] as const)
    t.strictSame(outcome(await request(method, url, { token: key, body })), [403, 'scope_required'], `${method} ${url}`)
  t.equal((await request('POST', '/chat/refresh', { body: { refresh_token: key } })).statusCode, 401)
  t.equal((await request('GET', KEYS, { token: user.token })).json().count, 1)
})
