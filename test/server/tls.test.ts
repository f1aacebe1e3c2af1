import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { sendRaw } from '../gates/raw-http.ts'
import { makeCertificate } from './certificate.ts'
import { startSecure } from './secure.ts'

async function handshake(t: Test, url: string, options: ConnectionOptions): Promise<TLSSocket> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), ...options })
  t.teardown(() => socket.destroy())
  await once(socket, 'secureConnect')
  return socket
}

/** Sends bytes over TLS and reads until the other side closes. */
async function sendSecurely(t: Test, url: string, ca: string, bytes: string | Buffer, protocol = 'http/1.1') {
  const socket = await handshake(t, url, { ca, ALPNProtocols: [protocol] })
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
  })
  socket.on('error', () => {})
  socket.write(bytes)
  await once(socket, 'close')
  return text
}

t.test('ALPN chooses, and what is old is refused', async (t) => {
  const { url, cert: ca } = await startSecure(t)
  t.equal((await handshake(t, url, { ca, ALPNProtocols: ['h2', 'http/1.1'] })).alpnProtocol, 'h2')
  t.equal((await handshake(t, url, { ca, ALPNProtocols: ['http/1.1'] })).alpnProtocol, 'http/1.1')
  t.equal((await handshake(t, url, { ca })).alpnProtocol, false, 'a client without ALPN speaks HTTP/1.1')
  t.equal((await handshake(t, url, { ca, maxVersion: 'TLSv1.2' })).getProtocol(), 'TLSv1.2')
  const old = { ca, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
  await t.rejects(handshake(t, url, old))
  await t.rejects(handshake(t, url, { ca, ALPNProtocols: ['spdy/3'] }))
  await t.rejects(handshake(t, url, {}), 'nobody trusts the certificate by itself')
})

t.test('every reply asks for TLS from now on, broken requests too', async (t) => {
  const { url, cert, connect: connectHttp2 } = await startSecure(t)
  const http2 = await connectHttp2()
  for (const path of ['/health', '/unknown', '/%zz', '/api/v1/chat/credits']) {
    const { headers } = await http2.json(path)
    t.equal(headers['strict-transport-security'], 'max-age=31536000', path)
    t.ok(headers['x-request-id'], path)
  }
  const broken = await sendSecurely(t, url, cert, 'hello\r\n\r\n')
  t.match(broken, /^HTTP\/1\.1 400 /)
  t.match(broken, 'strict-transport-security: max-age=31536000')
  t.match(broken, 'bad_request')
})

t.test('what speaks no TLS is cut off, and everybody else is served', async (t) => {
  const { url, connect: connectHttp2 } = await startSecure(t)
  const http2 = await connectHttp2()
  const noise = [
    'GET /health HTTP/1.1\r\nhost: x\r\n\r\n',
    'x'.repeat(100),
    '\u0015\u0003\u0001\u0000\u0002\u0002\u0028'
  ]
  for (const bytes of noise) t.equal((await sendRaw(url, bytes)).status, 0, JSON.stringify(bytes.slice(0, 8)))
  const { hostname, port } = new URL(url)
  const gone = connectPlain(Number(port), hostname)
  await once(gone, 'connect')
  gone.resetAndDestroy()
  t.equal((await http2.json('/health')).status, 200)
})

t.test('bytes that are no HTTP/2 end their connection', async (t) => {
  const { url, cert, connect: connectHttp2 } = await startSecure(t)
  const http2 = await connectHttp2()
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])
  // HEADERS of stream 1 whose block is no HPACK; a frame larger than allowed; DATA on a stream that was never opened.
  const frames = [
    Buffer.from([0, 0, 4, 1, 5, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]),
    Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]),
    Buffer.from([0, 0, 1, 0, 0, 0, 0, 0, 7, 0])
  ]
  for (const frame of frames)
    await sendSecurely(t, url, cert, Buffer.concat([Buffer.from(preface), settings, frame]), 'h2')
  await sendSecurely(t, url, cert, 'GET / HTTP/1.1\r\n\r\n', 'h2')
  t.equal((await http2.json('/health')).status, 200)
})

t.test('a new certificate serves new connections, and those that are there go on', async (t) => {
  const { url, cert, files, edge, connect: connectHttp2 } = await startSecure(t)
  const before = await connectHttp2()
  const next = makeCertificate()
  writeFileSync(files.certFile, next.cert)
  writeFileSync(files.keyFile, next.key)
  await edge.files.reread()
  const pair = await edge.files.reread()
  t.equal(pair?.cert, next.cert)
  if (pair) edge.use(pair)
  for (const ALPNProtocols of [['h2'], ['http/1.1']]) {
    t.ok((await handshake(t, url, { ca: next.cert, ALPNProtocols })).authorized)
    await t.rejects(handshake(t, url, { ca: cert, ALPNProtocols }), 'the old one is gone')
  }
  await t.rejects(handshake(t, url, { ca: next.cert, maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }))
  t.equal((await before.json('/health')).status, 200)
})
