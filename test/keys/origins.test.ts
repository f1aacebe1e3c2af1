import t from 'tap'
import { createFakeClock } from '../clock.ts'
import { buildTestApp } from '../helper.ts'
import { formOf } from '../surface/form.ts'
import { ask, askEmbedded, EVIL, echo, makeEmbedToken, makeKey, SHOP } from './keys.ts'

const KEYS = '/api/v1/auth/api-keys'

async function setUp(t: Parameters<typeof buildTestApp>[0]) {
  const clock = createFakeClock(Date.now())
  const gateway = await buildTestApp(t, { clock, env: { CORS_ORIGINS: 'https://console.example.com' } })
  const user = await gateway.createUser({ credits: 100, grants: [echo] })
  const made = await makeKey(gateway, user)
  const preflight = (token: string, origin: string) =>
    gateway.request('OPTIONS', `/e/${token}/api/v1/prediction/${echo}`, {
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' }
    })
  /** Status, code and the origin that may read the reply, of a question from a page. */
  const asked = async (token: string, origin?: string) => {
    const { statusCode, headers } = await askEmbedded(
      gateway,
      token,
      origin === undefined ? {} : { headers: { origin } }
    )
    return [statusCode, headers['x-gateway-code'], headers['access-control-allow-origin']]
  }
  return { clock, gateway, user, ...made, preflight, asked }
}

t.test('pages of the origins of a token may use it, and read every reply', async (t) => {
  const { clock, gateway, user, id, key, preflight, asked } = await setUp(t)
  const { token } = await makeEmbedToken(gateway, key, {
    origins: ['HTTPS://Shop.Example.Com', 'http://localhost:3000']
  })
  for (const origin of [SHOP, 'http://localhost:3000']) {
    const { statusCode, headers } = await preflight(token, origin)
    t.equal(statusCode, 204)
    t.match(headers, {
      'access-control-allow-origin': origin,
      'access-control-allow-methods': /POST/,
      'access-control-allow-headers': /Content-Type/,
      vary: /Origin/
    })
    t.equal(headers['access-control-allow-credentials'], undefined)
    t.strictSame(await asked(token, origin), [200, undefined, origin])
  }
  clock.advance(3_600_000)
  t.equal((await preflight(token, SHOP)).statusCode, 204, 'the page is to show what is wrong')
  t.strictSame(await asked(token, SHOP), [401, 'token_expired', SHOP])
  const revoked = await makeEmbedToken(gateway, key, { origins: [SHOP] })
  await gateway.app.apiKeys.revoke(user.id, id, () => [])
  t.strictSame(await asked(revoked.token, SHOP), [401, 'token_revoked', SHOP])
  t.equal(
    (await gateway.request('GET', KEYS, { headers: { origin: SHOP } })).headers['access-control-allow-origin'],
    undefined
  )
})

t.test('no other page may, whatever it calls itself', async (t) => {
  const { gateway, key, preflight, asked } = await setUp(t)
  const { token } = await makeEmbedToken(gateway, key, { origins: [SHOP] })
  const [head, tail] = SHOP.split('//')
  for (const origin of [
    EVIL,
    'null',
    `http://${tail}`,
    `${SHOP}:8443`,
    `${SHOP}.evil.example.com`,
    `${head}//evil${tail}`,
    `${SHOP}/`,
    `${SHOP},${EVIL}`,
    `${EVIL}#${SHOP}`,
    'https://console.example.com',
    ' '
  ]) {
    t.strictSame(await asked(token, origin), [403, 'origin_forbidden', undefined], origin)
    t.equal((await preflight(token, origin)).headers['access-control-allow-origin'], undefined, origin)
  }
  t.strictSame(await asked(token), [403, 'origin_forbidden', undefined], 'browsers say where a question comes from')
  t.equal(gateway.standIn.predictions.length, 0)
  const forged = `${token.slice(0, -8)}AAAAAAAA`
  t.strictSame(
    await asked(forged, EVIL),
    [401, 'invalid_token', EVIL],
    'whoever made that up may read that it is wrong'
  )
})

t.test('a token without origins is for every page', async (t) => {
  const { gateway, key, asked } = await setUp(t)
  const { token } = await makeEmbedToken(gateway, key)
  t.strictSame(await asked(token, EVIL), [200, undefined, EVIL])
  t.strictSame(await asked(token), [200, undefined, undefined])
})

t.test('the origins of a chatflow bind whoever comes by a key from a page', async (t) => {
  const { gateway, user, key, asked } = await setUp(t)
  const admin = gateway.admin.token
  const url = `/admin/chatflows/${echo}`
  const patch = (allowed_origins: unknown) => gateway.request('PATCH', url, { token: admin, body: { allowed_origins } })
  for (const wrong of [['*'], ['shop.example.com'], [`${SHOP}/chat`], ['javascript://shop.example.com']])
    t.equal((await patch(wrong)).statusCode, 422, String(wrong))
  t.match((await patch([SHOP.toUpperCase(), SHOP])).json(), { allowed_origins: [SHOP] })
  const { token } = await makeEmbedToken(gateway, key)
  t.strictSame(await asked(token, SHOP), [200, undefined, SHOP])
  t.strictSame(await asked(token, EVIL), [403, 'origin_forbidden', EVIL], 'which the page may read')
  t.strictSame(await asked(token), [403, 'origin_forbidden', undefined])
  const from = (bearer: string, origin?: string) =>
    gateway.request('POST', '/chat/predict', {
      token: bearer,
      body: { chatflow_id: echo, question: 'hello' },
      ...(origin === undefined ? {} : { headers: { origin } })
    })
  t.match((await from(key, EVIL)).json(), { status: 403, code: 'origin_forbidden' })
  t.equal((await from(key, SHOP)).statusCode, 200)
  t.equal((await ask(gateway, key)).statusCode, 200, 'a server is no page')
  t.equal((await from(user.token, EVIL)).statusCode, 200, 'a login is held by CORS')
  t.match((await patch(null)).json(), { allowed_origins: null })
  t.equal((await from(key, EVIL)).statusCode, 200)
})

t.test('the origins of a chatflow hold for everything that a page does with it', async (t) => {
  const { gateway, key } = await setUp(t)
  const { token } = await makeEmbedToken(gateway, key)
  const asked = await askEmbedded(gateway, token, { chatId: 'c' })
  const rated = { chatflowid: echo, chatId: 'c', messageId: asked.json().chatMessageId, rating: 'THUMBS_UP' }
  const said = await gateway.request('POST', `/e/${token}/api/v1/feedback/${echo}`, { body: rated })
  await gateway.request('PATCH', `/admin/chatflows/${echo}`, {
    token: gateway.admin.token,
    body: { allowed_origins: [SHOP] }
  })
  const spoken = { chatflowId: echo, chatId: 'c', chatMessageId: rated.messageId }
  const file = { chatflowId: echo, chatId: 'c', fileName: 'a.txt' }
  const { body, headers } = formOf([{ name: 'files', filename: 'a.txt', type: 'text/plain', content: 'hello' }])
  const calls: [Parameters<typeof gateway.request>[0], string, unknown, Record<string, string>?][] = [
    ['POST', '/api/v1/leads', { chatflowid: echo, chatId: 'c', name: 'Eve' }],
    ['POST', `/api/v1/feedback/${echo}`, rated],
    ['PUT', `/api/v1/feedback/${said.json().id}`, { rating: 'THUMBS_DOWN' }],
    ['POST', '/api/v1/text-to-speech/generate', { ...spoken, text: 'hello' }],
    ['POST', '/api/v1/text-to-speech/abort', spoken],
    ['POST', `/api/v1/attachments/${echo}/c`, body, headers],
    ['GET', `/api/v1/get-upload-file?${String(new URLSearchParams(file))}`, undefined],
    ['POST', '/api/v1/openai-assistants-file/download', file],
    ['GET', `/api/v1/public-chatbotConfig/${echo}`, undefined],
    ['GET', `/api/v1/chatflows-uploads/${echo}`, undefined]
  ]
  for (const [method, path, body, headers] of calls) {
    const from = async (origin: string) => {
      const reply = await gateway.request(method, `/e/${token}${path}`, { body, headers: { ...headers, origin } })
      return reply.headers['x-gateway-code']
    }
    t.equal(await from(EVIL), 'origin_forbidden', path)
    t.not(await from(SHOP), 'origin_forbidden', path)
  }
  const model = (origin: string) => gateway.request('GET', `/v1/models/${echo}`, { token: key, headers: { origin } })
  t.strictSame([(await model(EVIL)).statusCode, (await model(SHOP)).statusCode], [403, 200])
  const leads = await gateway.request('GET', `/admin/chatflows/${echo}/leads`, { token: gateway.admin.token })
  t.match(leads.json(), { count: 1 }, 'of the right page')
})

t.test('what pages load without saying who they are, they may: it only reads', async (t) => {
  const { gateway, key } = await setUp(t)
  const { token } = await makeEmbedToken(gateway, key, { origins: [SHOP] })
  const config = (headers: Record<string, string>) =>
    gateway.request('GET', `/e/${token}/api/v1/public-chatbotConfig/${echo}`, { headers })
  t.equal((await config({})).statusCode, 200)
  t.equal((await config({ origin: SHOP })).statusCode, 200)
  t.equal((await config({ origin: EVIL })).statusCode, 403)
})
