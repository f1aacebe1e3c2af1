import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { catalogue } from '../../src/errors.ts'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { collections } from '../../src/store/collections.ts'
import { ADMIN, buildTestApp, type TestApp } from '../helper.ts'
import {
  HOSTILE_BODIES,
  HOSTILE_CONTENT_TYPES,
  HOSTILE_QUERY_VALUES,
  HOSTILE_SEGMENTS,
  HOSTILE_VALUES,
  hostileTokens
} from './hostile-values.ts'
import { type Operation, operationsOf, plausible } from './operations.ts'

// Every route with everything that is hostile: a minute, and more beside other work.
t.setTimeout(600_000)

/** What any route may answer besides what it documents: parsing, limits, and dependencies that are away. */
const GENERAL = [400, 401, 403, 404, 409, 413, 415, 422, 429, 502, 503]
const env = { LOGIN_FAILURE_LIMIT: '0', RATE_LIMIT_PER_MINUTE: '0', MAX_BODY_MB: '1' }
const known = {
  chatflow_id: DEMO_IDS.echo,
  question: 'hello',
  model: DEMO_IDS.echo,
  messages: [{ role: 'user', content: 'hello' }],
  email: 'nobody@example.com',
  password: 'long enough'
}

async function setUp(t: Test) {
  const gateway = await buildTestApp(t, { env })
  const operations = operationsOf((await gateway.request('GET', '/openapi.json')).json())
  t.ok(operations.length > 30, `${operations.length} operations`)
  // With credits, so that what is accepted goes all the way to Flowise.
  const { admin, request } = gateway
  const url = `/api/v1/admin/users/${admin.id}/credits/allocate`
  const body = { amount: 1_000_000, note: 'for hostile requests', idempotency_key: 'start' }
  t.equal((await request('POST', url, { token: admin.token, body })).statusCode, 200)
  return { gateway, operations }
}

/** The rows of each collection: what a refused request must not change. */
async function countRows({ app }: TestApp): Promise<Record<string, number>> {
  const counts = collections.map(async ({ name }) => [name, await app.store.collection(name).count({})] as const)
  return Object.fromEntries(await Promise.all(counts))
}

/** The sentence about what is wrong with a reply; undefined when nothing is. */
function complaint(operation: Operation, reply: LightMyRequestResponse): string | undefined {
  const { statusCode: status, body } = reply
  if (status === 500) return `500 ${body}`
  if (![...GENERAL, ...operation.statuses].includes(status)) return `unexpected status ${status} ${body}`
  if (/\n\s+at |node_modules|file:\/\/|SQLITE/.test(body)) return `internals in ${body}`
  if (reply.headers['x-injected'] !== undefined) return 'a header was injected'
  if (status < 400 || (operation.path === '/ready' && status === 503)) return undefined
  const problem = reply.json<Record<string, unknown>>()
  if (operation.path.startsWith('/v1/'))
    return Object(problem.error).code in catalogue ? undefined : `no error of OpenAI: ${body}`
  if (!(String(problem.code) in catalogue)) return `unknown code in ${body}`
  if (problem.status !== status || problem.request_id !== reply.headers['x-request-id']) return `wrong problem ${body}`
  return undefined
}

interface Attempt {
  token?: string
  body?: unknown
  headers?: Record<string, string>
}

/** Sends and collects what is wrong; a refusal must leave every collection as it was. */
function createProbe(gateway: TestApp) {
  const complaints: string[] = []
  let admin = gateway.admin.token
  let sent = 0
  async function send(operation: Operation, url: string, label: string, attempt: Attempt = {}): Promise<number> {
    const before = await countRows(gateway)
    const reply = await gateway.request(operation.method, url, { token: admin, ...attempt })
    sent++
    const wrong = complaint(operation, reply)
    const name = `${operation.method} ${url.slice(0, 120)}: ${label}`
    if (wrong) complaints.push(`${name}: ${wrong.slice(0, 300)}`)
    if (reply.statusCode < 400) {
      // Some accepted requests end the session they came with.
      if (/revoke|authenticate|users/.test(url))
        admin = (await gateway.login(ADMIN.username, ADMIN.password)).access_token
      return reply.statusCode
    }
    const after = await countRows(gateway)
    const changed = Object.keys(after).filter((collection) => after[collection] !== before[collection])
    if (changed.length > 0) complaints.push(`${name}: refused with ${reply.statusCode}, but changed ${changed.join()}`)
    return reply.statusCode
  }
  return { send, complaints, sent: () => sent }
}

/** The path with something in place of each parameter. */
const fill = (path: string, segment: string) => path.replaceAll(/\{\w+\}/g, segment)
/** Whether the address fits the path of an operation. */
const isMatch = (path: string, url: string) => new RegExp(`^${fill(path, '[^/]+')}$`).test(url)
const label = (value: unknown) => JSON.stringify(value).slice(0, 40)

t.test('no token that is wrong in any way opens a route', async (t) => {
  const { gateway, operations } = await setUp(t)
  const { refresh_token } = await gateway.login(ADMIN.username, ADMIN.password)
  const tokens = hostileTokens(gateway.config.jwt.secret ?? '', refresh_token, gateway.admin.id)
  const probe = createProbe(gateway)
  for (const operation of operations.filter(({ isPublic }) => !isPublic)) {
    const url = fill(operation.path, 'x')
    for (const [name, token] of Object.entries(tokens))
      if ((await probe.send(operation, url, name, { token, body: {} })) !== 401) t.fail(`${name}: ${url}`)
    for (const authorization of [
      '',
      'Bearer',
      'Bearer ',
      `Basic ${gateway.admin.token}`,
      gateway.admin.token,
      'Bearer a b'
    ])
      if ((await probe.send(operation, url, authorization, { headers: { authorization } })) !== 401)
        t.fail(`${authorization}: ${url}`)
  }
  t.strictSame(probe.complaints, [])
  t.ok(probe.sent() > 500)
})

t.test('a user who is no administrator reaches no administration', async (t) => {
  const { gateway, operations } = await setUp(t)
  const user = await gateway.createUser()
  const probe = createProbe(gateway)
  const administration = operations.filter(({ path }) => path.startsWith('/api/v1/admin/'))
  t.ok(administration.length > 10)
  for (const operation of administration)
    for (const body of [undefined, {}, { role: 'admin' }, '{'])
      t.equal(await probe.send(operation, fill(operation.path, 'x'), 'as user', { token: user.token, body }), 403)
  t.strictSame(probe.complaints, [])
})

t.test('no member of a body breaks the gateway', async (t) => {
  const { gateway, operations } = await setUp(t)
  const probe = createProbe(gateway)
  for (const operation of operations) {
    if (!operation.body) continue
    const url = fill(operation.path, 'x')
    const members = Object.entries(operation.body)
    const base = Object.fromEntries(members.map(([name, schema]) => [name, plausible(name, schema, known)]))
    const headers = { 'idempotency-key': 'hostile' }
    for (const [name] of members) {
      const { [name]: _left, ...without } = base
      await probe.send(operation, url, `${name} missing`, { body: without, headers })
      for (const value of HOSTILE_VALUES)
        await probe.send(operation, url, `${name}: ${label(value)}`, { body: { ...base, [name]: value }, headers })
    }
    await probe.send(operation, url, 'unknown members', { body: { ...base, isAdmin: true, $set: { role: 'admin' } } })
  }
  t.strictSame(probe.complaints, [])
  t.ok(probe.sent() > 500)
})

t.test('no bytes of a body and no content type break the gateway', async (t) => {
  const { gateway, operations } = await setUp(t)
  const probe = createProbe(gateway)
  const huge = JSON.stringify({ ...known, question: 'a'.repeat(10_000_000) })
  for (const operation of operations.filter(({ method }) => method !== 'GET')) {
    const url = fill(operation.path, 'x')
    const json = { 'content-type': 'application/json' }
    for (const [name, body] of Object.entries(HOSTILE_BODIES))
      await probe.send(operation, url, name, { body, headers: json })
    for (const type of HOSTILE_CONTENT_TYPES)
      await probe.send(operation, url, type, { body: '{"question":"a"}', headers: { 'content-type': type } })
    t.equal(await probe.send(operation, url, '10 MB', { body: huge, headers: json }), 413, url)
  }
  t.strictSame(probe.complaints, [])
})

t.test('no path, query or method breaks the gateway', async (t) => {
  const { gateway, operations } = await setUp(t)
  const probe = createProbe(gateway)
  for (const operation of operations.filter(({ path }) => !path.endsWith('/sync'))) {
    if (operation.path.includes('{'))
      for (const segment of HOSTILE_SEGMENTS)
        await probe.send(operation, fill(operation.path, segment), 'segment', operation.body ? { body: {} } : {})
    const url = fill(operation.path, 'x')
    for (const name of operation.query)
      for (const value of [...HOSTILE_QUERY_VALUES, `1&${name}=2`, `1&${name}[a]=b`])
        await probe.send(operation, `${url}?${name}=${value}`, 'query', operation.body ? { body: {} } : {})
  }
  const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND'] as const
  for (const path of new Set(operations.map((operation) => operation.path))) {
    const offered = operations.filter((operation) => operation.path === path).map(({ method }) => method)
    for (const method of methods.filter((one) => !offered.some((other) => other === one))) {
      const reply = await gateway.request(method, fill(path, 'x'), { token: gateway.admin.token })
      // `/users/{id}` answers for `/users/sync-by-email`, where that is no route of its own.
      const isOther = operations.some((one) => one.method === method && isMatch(one.path, fill(path, 'x')))
      if (!isOther) t.equal(reply.statusCode, 404, `${method} ${path}`)
    }
  }
  t.strictSame(probe.complaints, [])
})

t.test('hostile header values are values', async (t) => {
  const { gateway, operations } = await setUp(t)
  const probe = createProbe(gateway)
  const names = [
    'accept',
    'x-api-key',
    'idempotency-key',
    'x-request-id',
    'last-event-id',
    'x-forwarded-for',
    'origin',
    'cookie'
  ]
  const values = ['', ' ', 'a'.repeat(8000), '*/*;q=', '\u00ff\u00fe', '../..', '__proto__', '1'.repeat(129), ',,,;;;']
  for (const operation of operations)
    for (const name of names)
      for (const value of values)
        await probe.send(operation, fill(operation.path, 'x'), `${name}: ${value.slice(0, 20)}`, {
          headers: { [name]: value },
          ...(operation.body ? { body: {} } : {})
        })
  t.strictSame(probe.complaints, [])
})
