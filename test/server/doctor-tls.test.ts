import t from 'tap'
import { startFlowiseDoor } from '../doctor/flowise-door.ts'
import { makeCertificate } from './certificate.ts'
import { environment, startProcess } from './gateway-process.ts'
import { writePair } from './secure.ts'

t.test('a gateway that ends TLS itself is probed as its clients see it', async (t) => {
  const door = await startFlowiseDoor(t)
  const flowise = environment(t, { FLOWISE_API_URL: door.url, FLOWISE_API_KEY: 'door-key' })
  const { files } = writePair(t, makeCertificate({ toDays: 5 }))
  const env = { ...flowise, TLS_CERT_FILE: files.certFile, TLS_KEY_FILE: files.keyFile }
  const { port } = new URL(await startProcess(t, env).listening)

  const own = startProcess(t, { ...env, PORT: port }, ['src/cli.ts', 'doctor'])
  t.equal(await own.exit, 0, own.stdout())
  t.match(own.stdout(), /at https:\/\/localhost:\d+, HTTP\/2, \d+ ms away$/m, 'whatever name the certificate has')

  const url = `https://localhost:${port}`
  const trusting = { ...env, NODE_EXTRA_CA_CERTS: files.certFile }
  const trusted = startProcess(t, trusting, ['src/cli.ts', 'doctor', '--url', url])
  t.equal(await trusted.exit, 0, trusted.stdout())
  t.match(trusted.stdout(), /^warn +the certificate is valid for 4 days$/m)
  t.match(trusted.stdout(), /^ok +made-up forwarding headers are not believed$/m)
  t.notMatch(trusted.stdout(), 'Strict-Transport-Security')

  const unknown = startProcess(t, env, ['src/cli.ts', 'doctor', '--url', url])
  t.equal(await unknown.exit, 1)
  t.match(unknown.stdout(), /no answer from https:\/\/localhost:\d+: its certificate is signed by itself$/m)
})
