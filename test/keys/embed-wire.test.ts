import t from 'tap'
import { loggerOptions } from '../../src/logger.ts'
import { sendRaw } from '../gates/raw-http.ts'
import { buildTestApp } from '../helper.ts'
import { startSecure } from '../server/secure.ts'
import { echo, makeEmbedToken, makeKey, SHOP } from './keys.ts'

const KEYS = '/api/v1/auth/api-keys'

/** A request as bytes: no client in between tidies its path. */
function post(url: string, path: string, headers: Record<string, string> = {}, body = '{"question":"hello"}') {
  const lines = Object.entries({ host: 'gateway', 'content-type': 'application/json', connection: 'close', ...headers })
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return sendRaw(url, `POST ${path} HTTP/1.1\r\n${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
}

t.test('on the wire no path around a token leads anywhere', async (t) => {
  const gateway = await buildTestApp(t)
  const user = await gateway.createUser({ credits: 10, grants: [echo] })
  const { key } = await makeKey(gateway, user)
  const { token } = await makeEmbedToken(gateway, key)
  const url = await gateway.listen()
  const authorization = `Bearer ${user.token}`
  const inner = `api/v1/prediction/${echo}`
  for (const path of [
    `/e/${token}`,
    `/e/${token}/`,
    `/e/${token}/health`,
    `/e/${token}/docs/`,
    `/e/${token}/chat/predict`,
    `/e/${token}/${inner}/../../chat/predict`,
    `/e/${token}//${inner}`,
    `/e/${token}/../${inner}`,
    `/e/${token}/./${inner}`,
    `/e/${token}/%2e%2e/${inner}`,
    `/e/${token}/x/../${inner}`,
    `/e/${token}/API/v1/prediction/${echo}`,
    `/e/${token}/api%2fv1/prediction/${echo}`,
    `/e/${token}%2f${inner}`,
    `/e/${token}\\${inner}`,
    `/e/${token}/e/${token}/${inner}`,
    `/e/${token}/api/v1/e/${token}/prediction/${echo}`,
    `/e/${token}/api/v1/chat/predict`,
    `/e/${token}/api/v1/../v1/prediction/${echo}`,
    `/e/x/../${token}/${inner}`,
    `/e//${token}/${inner}`,
    `//e/${token}/${inner}`,
    `/./e/${token}/${inner}`,
    `/E/${token}/${inner}`,
    `/%65/${token}/${inner}`,
    `/api/v1/e/${token}/prediction/${echo}`,
    `/e`,
    `/e/`
  ]) {
    const { status, body } = await post(url, path, { authorization })
    t.match(JSON.parse(body), { status: 404, code: 'not_found' }, path.replaceAll(token, '<token>'))
    t.equal(status, 404)
  }
  for (const path of [`/e/${token}/${inner}`, `/e/${token}/${inner}/`, `http://gateway/e/${token}/${inner}?x=/e/y`])
    t.equal((await post(url, path)).status, 200, path.replaceAll(token, '<token>'))
})

t.test('no log line, reply, header or metric shows a token or a key', async (t) => {
  const lines: string[] = []
  const logger = { ...loggerOptions('trace'), stream: { write: (line: string) => void lines.push(line) } }
  const gateway = await buildTestApp(t, { parts: { logger } })
  const user = await gateway.createUser({ credits: 10, grants: [echo] })
  const { id, key } = await makeKey(gateway, user, { credit_budget: 1 })
  const { token } = await makeEmbedToken(gateway, key, { origins: [SHOP] })
  const url = await gateway.listen()
  const base = `/e/${token}/api/v1/prediction`
  const seen: { status: number; told: string }[] = []
  const send = async (path: string, headers: Record<string, string> = { origin: SHOP }, body?: string) => {
    const { status, ...reply } = await post(url, path, headers, body)
    seen.push({ status, told: JSON.stringify(reply) })
  }
  gateway.standIn.next({ status: 500, body: JSON.stringify({ message: `about ${token} and ${key}` }) })
  await send(`${base}/${echo}`)
  await send(`${base}/${echo}`)
  await send(`${base}/${echo}`)
  await send(`${base}/${echo}`, { origin: SHOP }, '{"question":"hello","streaming":true}')
  await send(`${base}/${echo}`, {})
  await send(`${base}/nothing`)
  await send(`${base}/${echo}`, { origin: SHOP }, '{')
  await send(`${base}/%zz`)
  await send(`${base}/${'a'.repeat(2000)}`)
  await send(`/e/${token}/%zz`)
  await send(`/e/${token}/api/v1/${token}`)
  await send(`/e/${token}/e/${token}/x`)
  await send(`/e/${token}x/api/v1/prediction/${echo}`)
  await send(`/chat/predict`, { authorization: `Bearer ${key}` })
  await send(`/chat/predict`, { 'x-api-key': `${key}x` })
  await gateway.request('DELETE', `${KEYS}/${id}`, { token: user.token })
  await send(`${base}/${echo}`)
  t.strictSame(
    new Set(seen.map(({ status }) => status)),
    new Set([200, 400, 401, 402, 403, 404, 422, 502].filter((status) => seen.some((one) => one.status === status)))
  )
  for (const status of [200, 401, 403, 404])
    t.ok(
      seen.some((one) => one.status === status),
      String(status)
    )
  const metrics = await gateway.request('GET', '/metrics')
  const all = [...lines, ...seen.map(({ told }) => told), metrics.body].join('\n')
  t.ok(lines.length > seen.length, `${lines.length} lines`)
  for (const secret of [token, key]) {
    t.notMatch(all, secret)
    t.notMatch(all, secret.slice(20), 'nor a part of it')
  }
  t.match(lines.join('\n'), `"key":"${id}"`, 'the id of the key is told')
})

t.test('over HTTP/2 it is the same', async (t) => {
  const lines: string[] = []
  const logger = { ...loggerOptions('trace'), stream: { write: (line: string) => void lines.push(line) } }
  const { connect, ...gateway } = await startSecure(t, {}, { logger })
  const { token } = await makeEmbedToken(gateway, gateway.user.token, { origins: [SHOP] })
  const { json } = await connect()
  const base = `/e/${token}/api/v1/prediction/${echo}`
  const asked = async (path: string, origin: string) => {
    const { status, headers, body } = await json(path, {
      method: 'POST',
      body: { question: 'hello' },
      headers: { origin }
    })
    t.notMatch(JSON.stringify([headers, body]), token.slice(20))
    return [status, headers['access-control-allow-origin']]
  }
  t.strictSame(await asked(base, SHOP), [200, SHOP])
  t.strictSame(await asked(`/e/${token}/health`, SHOP), [404, SHOP])
  t.strictSame(await asked(`/e/${token}/../${base}`, SHOP), [404, SHOP])
  t.notMatch(lines.join('\n'), token.slice(20))
})
