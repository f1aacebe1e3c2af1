import t from 'tap'
import { buildTestApp } from '../helper.ts'

t.test('the root and the liveness probe answer anybody', async (t) => {
  const { request } = await buildTestApp(t)
  const root = await request('GET', '/')
  t.strictSame(root.json(), { message: 'Flowise Proxy Service', version: root.json().version, status: 'running' })
  t.match(root.json().version, /^\d+\.\d+\.\d+$/)
  const health = await request('GET', '/health')
  t.strictSame(health.json(), {
    status: 'healthy',
    service: 'flowise-proxy-service',
    version: root.json().version
  })
  t.equal((await request('GET', '/health/')).statusCode, 200, 'a trailing slash is optional')
  t.equal((await request('GET', '/api/v1/health')).statusCode, 404, 'at the root only')
})

t.test('an unknown route or method is 404, whatever body comes with it', async (t) => {
  const { request } = await buildTestApp(t)
  const bodies: [string, string][] = [
    ['application/json', '{"broken"'],
    ['application/json', JSON.stringify('x'.repeat(2_000_000))],
    ['image/png', 'bytes'],
    ['not a type', 'bytes']
  ]
  for (const url of ['/unknown', '/health', '/api/chat/predict'])
    for (const [type, body] of bodies) {
      const reply = await request('POST', url, { body, headers: { 'content-type': type } })
      t.equal(reply.statusCode, 404, `${url} ${type}`)
      t.equal(reply.json().code, 'not_found')
    }
  t.equal((await request('QUERY', '/health')).statusCode, 404)
})

t.test('ready while store and Flowise answer', async (t) => {
  const { request } = await buildTestApp(t)
  const reply = await request('GET', '/ready')
  t.equal(reply.statusCode, 200)
  t.strictSame(reply.json(), { status: 'ready', checks: { store: 'ok', flowise: 'ok' } })
})

t.test('not ready when Flowise is away, but alive', async (t) => {
  const { request, standIn } = await buildTestApp(t)
  await standIn.close()
  const reply = await request('GET', '/ready')
  t.equal(reply.statusCode, 503)
  t.strictSame(reply.json(), { status: 'not_ready', checks: { store: 'ok', flowise: 'down' } })
  t.ok(reply.headers['retry-after'])
  t.equal((await request('GET', '/health')).statusCode, 200)
})

t.test('not ready while draining, and predictions are refused', async (t) => {
  const { app, request, admin } = await buildTestApp(t)
  await app.lifecycle.beginDrain()
  const ready = await request('GET', '/ready')
  t.equal(ready.statusCode, 503)
  t.strictSame(ready.json(), { status: 'not_ready', checks: { store: 'ok', flowise: 'ok' } })
  const refused = await request('POST', '/api/v1/chat/predict', { token: admin.token, body: {} })
  t.equal(refused.statusCode, 503)
  t.equal(refused.json().code, 'draining')
  t.equal(refused.headers['retry-after'], '5')
  t.equal((await request('GET', '/health')).statusCode, 200)
})

t.test('the installation tells its modes and paths, and no secret', async (t) => {
  const { request, config, standIn } = await buildTestApp(t)
  const reply = await request('GET', '/info')
  t.equal(reply.statusCode, 200)
  t.match(reply.json(), {
    service: 'flowise-proxy-service',
    auth_mode: 'local',
    accounting_mode: 'internal',
    store: /^(sqlite|mongodb)$/,
    upstream: 'flowise',
    endpoints: {
      authentication: '/api/v1/chat/authenticate',
      chatflows: '/api/v1/chatflows',
      prediction: '/api/v1/chat/predict',
      credits: '/api/v1/chat/credits'
    }
  })
  t.equal(reply.json().limits.concurrent_predictions, config.limits.concurrentPerUser)
  for (const secret of [standIn.url, config.flowise.apiKey ?? '', config.jwt.secret ?? '', config.dataDir])
    t.notOk(reply.body.includes(secret))
  const demo = await buildTestApp(t, { parts: { isDemo: true } })
  t.equal((await demo.request('GET', '/info')).json().upstream, 'demo')
})

t.test('metrics are open without a token and closed with one', async (t) => {
  const open = await buildTestApp(t)
  const shown = await open.request('GET', '/metrics')
  t.equal(shown.statusCode, 200)
  t.match(shown.headers['content-type'], 'text/plain')
  t.match(shown.body, 'gateway_ledger_drift')
  t.match(shown.body, 'nodejs_eventloop_lag_seconds')

  const { request } = await buildTestApp(t, { env: { METRICS_TOKEN: 'metrics-secret' } })
  for (const [token, code] of [
    [undefined, 'not_authenticated'],
    ['wrong', 'invalid_token'],
    ['metrics-secret2', 'invalid_token']
  ] as const) {
    const refused = await request('GET', '/metrics', token === undefined ? {} : { token })
    t.equal(refused.statusCode, 401)
    t.equal(refused.json().code, code)
    t.equal(refused.headers['www-authenticate'], 'Bearer')
  }
  t.equal((await request('GET', '/metrics', { token: 'metrics-secret' })).statusCode, 200)
})

t.test('addresses of clients never become series', async (t) => {
  const { request } = await buildTestApp(t)
  await request('GET', '/nothing/here')
  await request('GET', '/api/v1/chat/sessions/some-id/history')
  const { body } = await request('GET', '/metrics')
  t.match(body, 'route="unmatched",status="4xx"')
  t.notMatch(body, 'nothing')
  t.notMatch(body, 'some-id')
})

t.test('the document shows the canonical routes only, and a page shows the document', async (t) => {
  const { request } = await buildTestApp(t)
  const document = (await request('GET', '/openapi.json')).json()
  t.match(document.openapi, /^3\./)
  const paths = Object.keys(document.paths)
  t.ok(paths.includes('/api/v1/chat/predict'))
  t.strictSame(
    paths.filter((path) => /^\/(chat|chatflows|admin|docs)\b|^\/api\/chat|\*/.test(path)),
    []
  )
  const page = await request('GET', '/docs')
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], 'text/html')
  t.match(page.headers['content-security-policy'], "script-src 'self'")
  for (const [, asset = ''] of page.body.matchAll(/(?:src|href)="([^"]+)"/g)) {
    t.notMatch(asset, '//', 'nothing comes from elsewhere')
    t.equal((await request('GET', asset)).statusCode, 200, asset)
  }
})

t.test('every operation has an id, a summary, a tag, and says who may use it', async (t) => {
  const { request } = await buildTestApp(t)
  const { paths, components, tags } = (await request('GET', '/openapi.json')).json()
  const declared = new Set(tags.map(({ name }: { name: string }) => name))
  t.match(components.securitySchemes.bearer, { type: 'http', scheme: 'bearer' })
  const ids = new Set<string>()
  const isPublic =
    /^\/(|health|ready|info|metrics|openapi\.json)$|^\/api\/v1\/(chat\/(authenticate|refresh)|ping|test-stream|chatflows-streaming\/\{chatflow_id\})$/
  for (const [path, operations] of Object.entries<Record<string, Operation>>(paths))
    for (const [method, operation] of Object.entries(operations)) {
      const name = `${method} ${path}`
      t.match(operation.operationId, /^[a-z][A-Za-z-]*(\.[a-zA-Z-]+)+$/, name)
      t.notOk(ids.has(operation.operationId), `${name}: the id is its own`)
      ids.add(operation.operationId)
      t.ok(operation.summary, name)
      t.equal(operation.tags?.length, 1, name)
      t.ok(declared.has(operation.tags?.[0]), `${name}: ${operation.tags?.[0]} is described`)
      t.equal(operation.security === undefined, isPublic.test(path), `${name}: security`)
    }
  t.ok(ids.size > 20)
})

interface Operation {
  operationId: string
  summary?: string
  tags?: string[]
  security?: unknown[]
}
