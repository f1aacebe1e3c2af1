import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makeCertificate } from './certificate.ts'
import { sendRaw } from '../gates/raw-http.ts'
import { startProcess } from './gateway-process.ts'
import { writePair } from './secure.ts'
import { isTrusted, startSecureProcess } from './secure-process.ts'

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
  await Promise.all(
    cases.map(async ([TLS_CERT_FILE, TLS_KEY_FILE, sentence]) => {
      const env = { DATA_DIR: join(good.folder, 'data'), PORT: '0', TLS_CERT_FILE, TLS_KEY_FILE }
      const refused = startProcess(t, env)
      t.equal(await refused.exit, 1)
      t.match(refused.stderr(), sentence)
      t.equal(refused.stdout(), '')
    })
  )
})

t.test('the printed address is that of TLS, and noise at the port makes no noise in the log', async (t) => {
  const gateway = await startSecureProcess(t, { HOST: '0.0.0.0' })
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
  const gateway = await startSecureProcess(t, {}, makeCertificate({ fromDays: -20, toDays: -10 }))
  await gateway.printed('has expired')
  t.notOk(await isTrusted(gateway.url, { ca: gateway.cert }))
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.exit, 0)
})
