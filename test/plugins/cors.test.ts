import t from 'tap'
import { buildTestApp } from '../helper.ts'

const LISTED = 'https://chat.example.com'
const OTHER = 'https://evil.example.com'
const preflight = (origin: string) => ({
  origin,
  'access-control-request-method': 'POST',
  'access-control-request-headers': 'authorization,content-type,idempotency-key'
})

/** The names of the headers that allow something. */
const allowances = (headers: object) => Object.keys(headers).filter((name) => name.startsWith('access-control-'))

t.test('a listed origin may call, send its headers and read ours', async (t) => {
  const { request } = await buildTestApp(t, { env: { CORS_ORIGINS: `${LISTED},http://localhost:5173` } })
  for (const url of ['/api/v1/chat/predict', '/chat/predict', '/unknown']) {
    const reply = await request('OPTIONS', url, { headers: preflight(LISTED) })
    t.equal(reply.statusCode, 204, url)
    t.equal(reply.headers['access-control-allow-origin'], LISTED)
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])
      t.match(reply.headers['access-control-allow-methods'], method)
    for (const name of ['Authorization', 'Content-Type', 'Idempotency-Key', 'X-Request-Id', 'Last-Event-ID'])
      t.match(reply.headers['access-control-allow-headers'], name)
  }
  for (const url of ['/health', '/unknown', '/api/v1/chatflows']) {
    const { headers } = await request('GET', url, { headers: { origin: LISTED } })
    t.equal(headers['access-control-allow-origin'], LISTED, `${url}, errors included`)
    t.match(headers.vary, 'Origin')
    for (const name of ['X-Request-Id', 'Retry-After', 'Link', 'Idempotency-Replayed', 'Content-Disposition'])
      t.match(headers['access-control-expose-headers'], name)
  }
})

t.test('a client made for OpenAI may say in a browser what it is', async (t) => {
  const { request } = await buildTestApp(t, { env: { CORS_ORIGINS: LISTED } })
  const { headers } = await request('OPTIONS', '/v1/chat/completions', { headers: preflight(LISTED) })
  for (const name of ['X-Session-Id', 'X-Stainless-Lang', 'X-Stainless-OS', 'X-Stainless-Retry-Count'])
    t.match(headers['access-control-allow-headers'], name)
  const reply = await request('GET', '/v1/models', { headers: { origin: LISTED } })
  t.match([reply.statusCode, reply.headers['access-control-expose-headers']], [401, 'X-Should-Retry'])
})

t.test('any other origin gets no allow header', async (t) => {
  const { request } = await buildTestApp(t, { env: { CORS_ORIGINS: LISTED } })
  for (const origin of [OTHER, `${LISTED}.evil.com`, 'null', 'http://chat.example.com']) {
    t.strictSame(allowances((await request('GET', '/health', { headers: { origin } })).headers), [], origin)
    t.strictSame(allowances((await request('OPTIONS', '/health', { headers: preflight(origin) })).headers), [], origin)
  }
})

t.test('the wildcard is never combined with credentials', async (t) => {
  const { request } = await buildTestApp(t, { env: { CORS_ORIGINS: `*,${LISTED}` } })
  for (const origin of [LISTED, OTHER])
    for (const reply of [
      await request('GET', '/health', { headers: { origin } }),
      await request('OPTIONS', '/health', { headers: preflight(origin) })
    ]) {
      t.equal(reply.headers['access-control-allow-origin'], '*')
      t.equal(reply.headers['access-control-allow-credentials'], undefined)
    }
})

t.test('unset: any origin in development, none in production', async (t) => {
  const development = await buildTestApp(t)
  const open = await development.request('GET', '/health', { headers: { origin: OTHER } })
  t.equal(open.headers['access-control-allow-origin'], '*')
  const production = await buildTestApp(t, { env: { NODE_ENV: 'production' } })
  const closed = await production.request('GET', '/health', { headers: { origin: OTHER } })
  t.strictSame(allowances(closed.headers), [])
})

t.test('OPTIONS that is no preflight is an unknown route like any other', async (t) => {
  const { request } = await buildTestApp(t, { env: { CORS_ORIGINS: LISTED } })
  for (const headers of [{}, { origin: LISTED }]) {
    const reply = await request('OPTIONS', '/health', { headers })
    t.equal(reply.statusCode, 404)
    t.equal(reply.json().code, 'not_found')
  }
})

t.test('no reply is sniffed, cached, framed or signed by its software', async (t) => {
  const { request } = await buildTestApp(t)
  for (const url of ['/health', '/unknown', '/api/v1/chat/credits', '/%zz']) {
    const { headers } = await request('GET', url)
    t.equal(headers['x-content-type-options'], 'nosniff', url)
    t.equal(headers['cache-control'], 'no-store', url)
    t.equal(headers['referrer-policy'], 'no-referrer', url)
    t.match(headers['content-security-policy'], "frame-ancestors 'none'", url)
    t.equal(headers['x-powered-by'], undefined)
    t.equal(headers.server, undefined)
    t.ok(headers['x-request-id'], url)
  }
})
