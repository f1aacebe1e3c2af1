import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { eventsOf } from '../prediction/tools.ts'
import { type Certificate, makeCertificate } from './certificate.ts'
import { sendRaw } from '../gates/raw-http.ts'
import { startProcess } from './gateway-process.ts'
import { connectHttp2 } from './http2-wire.ts'
import { writePair } from './secure.ts'

const PASSWORD = 'the admin password'
const story = { chatflow_id: DEMO_IDS.storyteller, question: 'a long story' }

/** A process with the demo behind it and a certificate in front. */
async function start(t: Test, env: Record<string, string> = {}, pair: Certificate = makeCertificate()) {
  const { folder, files, cert } = writePair(t, pair)
  const gateway = startProcess(t, {
    DATA_DIR: join(folder, 'data'),
    PORT: '0',
    HOST: '127.0.0.1',
    ADMIN_PASSWORD: PASSWORD,
    TLS_CERT_FILE: files.certFile,
    TLS_KEY_FILE: files.keyFile,
    ...env
  })
  const url = await gateway.listening
  const connect = (ca = cert) => connectHttp2(t, url, ca)
  async function login() {
    const client = await connect()
    const { body } = await client.json('/chat/authenticate', { body: { username: 'admin', password: PASSWORD } })
    return { ...client, token: String(Object(body).access_token) }
  }
  return { ...gateway, url, files, cert, connect, login }
}

async function isTrusted(url: string, options: ConnectionOptions): Promise<boolean> {
  const { hostname, port } = new URL(url)
  const socket = connectTls({ host: hostname, port: Number(port), rejectUnauthorized: false, ...options })
  await once(socket, 'secureConnect')
  socket.destroy()
  return socket.authorized
}

t.test('files that cannot be used stop the start with one sentence', async (t) => {
  const good = writePair(t)
  const other = makeCertificate()
  const otherKey = join(good.folder, 'other.pem')
  writeFileSync(otherKey, other.key)
  const cases: [cert: string, key: string, sentence: RegExp][] = [
    [join(good.folder, 'nowhere'), good.files.keyFile, /^TLS_CERT_FILE cannot be read \(ENOENT\)\.\n$/],
    [good.files.certFile, good.key, /^TLS_KEY_FILE cannot be read \(\w+\)\.\n$/],
    [good.files.certFile, otherKey, /^TLS_KEY_FILE is not the key .*\n$/],
    [good.files.certFile, '', /TLS_CERT_FILE and TLS_KEY_FILE belong together/]
  ]
  for (const [TLS_CERT_FILE, TLS_KEY_FILE, sentence] of cases) {
    const env = { DATA_DIR: join(good.folder, 'data'), PORT: '0', TLS_CERT_FILE, TLS_KEY_FILE }
    const refused = startProcess(t, env)
    t.equal(await refused.exit, 1)
    t.match(refused.stderr(), sentence)
    t.equal(refused.stdout(), '')
  }
})

t.test('the printed address is that of TLS, and noise at the port makes no noise in the log', async (t) => {
  const gateway = await start(t, { HOST: '0.0.0.0' })
  t.match(gateway.url, /^https:/)
  t.match(gateway.stdout(), /Gateway: +https:\/\/localhost:\d+\n/)
  t.match(gateway.stdout(), /curl -N https:\/\/localhost/)
  const before = gateway.stdout()
  for (let n = 0; n < 20; n++) await sendRaw(gateway.url, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  await t.rejects(isTrusted(gateway.url, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }))
  t.notMatch(gateway.stdout().slice(before.length), /tls|ssl|handshake|client/i)
  const { json } = await gateway.connect()
  t.equal((await json('/health')).status, 200)
  t.equal((await json('/chat/authenticate', { body: 'x'.repeat(2_000_000) })).status, 413)
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.exit, 0)
  t.equal(gateway.stderr(), '', 'no warning of Node either')
})

t.test('an expired certificate serves, with a warning', async (t) => {
  const gateway = await start(t, {}, makeCertificate({ fromDays: -20, toDays: -10 }))
  await gateway.printed('has expired')
  t.notOk(await isTrusted(gateway.url, { ca: gateway.cert }))
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.exit, 0)
})

t.test('a renewed certificate is used without a restart, a broken one is not', async (t) => {
  const gateway = await start(t)
  const { files, url, cert } = gateway
  const running = await gateway.connect()
  writeFileSync(files.certFile, 'rubbish')
  await gateway.printed('certificate not read again')
  t.ok(await isTrusted(url, { ca: cert }), 'the old one stays')
  const next = makeCertificate()
  writeFileSync(`${files.keyFile}.new`, next.key)
  writeFileSync(`${files.certFile}.new`, next.cert)
  renameSync(`${files.keyFile}.new`, files.keyFile)
  renameSync(`${files.certFile}.new`, files.certFile)
  await gateway.printed('"msg":"certificate read again"')
  t.ok(await isTrusted(url, { ca: next.cert }))
  t.notOk(await isTrusted(url, { ca: cert }))
  t.equal((await running.json('/health')).status, 200, 'who was connected goes on')
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.exit, 0)
  t.equal(gateway.stdout().match(/certificate not read again/g)?.length, 1)
  t.notMatch(gateway.stdout() + gateway.stderr(), /PRIVATE|rubbish/)
})

t.test(
  'SIGTERM: streams get their time and then error and end; nothing new begins; idle connections close',
  async (t) => {
    const gateway = await start(t, { DRAIN_SECONDS: '1' })
    const idle = await gateway.connect()
    const { ask, token, goaway } = await gateway.login()
    const streams = Array.from({ length: 3 }, () => ask('/chat/predict/stream', { token, body: story }))
    await Promise.all(streams.map((stream) => stream.until(/event: token/)))
    const startedAt = performance.now()
    gateway.child.kill('SIGTERM')
    t.equal(await idle.goaway, 0)
    t.equal(await goaway, 0)
    await t.rejects(ask('/health').ended, { code: 'ERR_HTTP2_GOAWAY_SESSION' })
    await idle.closed
    const late = await gateway.connect()
    t.match(await late.json('/chat/predict', { token, body: story }), { status: 503, body: { code: 'draining' } })
    t.equal((await late.json('/ready')).status, 503)
    t.equal((await late.json('/health')).status, 200)
    for (const { ended } of streams) {
      const names = eventsOf(await ended).map(({ event }) => event)
      t.same(names.slice(-2), ['error', 'end'])
      t.equal(names.filter((name) => name === 'end').length, 1)
    }
    t.equal(await gateway.exit, 0, 'with a connection open that nobody closes')
    t.ok(performance.now() - startedAt < 10_000)
  }
)
