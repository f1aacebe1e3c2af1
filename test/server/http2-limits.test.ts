import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import { constants } from 'node:http2'
import { connect as connectPlain } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import { createSystemClock } from '../../src/clock.ts'
import { type ArrivalLimits, createSecureEdge } from '../../src/secure-server.ts'
import { openKeyPair } from '../../src/tls.ts'
import { connectHttp2 } from './http2-wire.ts'
import { startSecure, writePair } from './secure.ts'

const LIMITS: ArrivalLimits = {
  requestTimeout: 60_000,
  headersTimeout: 60_000,
  connectionsCheckingInterval: 60_000,
  keepAliveTimeout: 60_000,
  requireHostHeader: false
}

/** The server alone, with limits that a test can wait for. */
async function startServer(t: Test, limits: Partial<ArrivalLimits>, handler: RequestListener) {
  const { files, cert } = writePair(t)
  const edge = createSecureEdge(await openKeyPair(files), createSystemClock())
  const server = edge.createServer(handler, { ...LIMITS, ...limits })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    server.close()
    await edge.close(0)
  })
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  return { edge, port, connect: () => connectHttp2(t, `https://127.0.0.1:${port}`, cert) }
}

t.test('what a connection is told that it may do', async (t) => {
  const { connect } = await startSecure(t)
  const { session } = await connect()
  if (session.pendingSettingsAck || session.remoteSettings.maxConcurrentStreams !== 256)
    await once(session, 'remoteSettings')
  t.match(session.remoteSettings, {
    maxConcurrentStreams: 256,
    maxHeaderListSize: 32_768,
    enableConnectProtocol: false
  })
})

t.test('headers beyond the limit cost their stream and nothing else', async (t) => {
  const { connect } = await startSecure(t)
  const { ask, json } = await connect()
  const inside = await json('/health', { headers: { 'x-big': 'a'.repeat(8000) } })
  t.equal(inside.status, 200)
  const outside = ask('/health', { headers: { 'x-big': 'a'.repeat(40_000) } })
  const status = await outside.head.then(
    (head) => head.status,
    () => 'refused'
  )
  t.ok(status === 'refused' || status === 431, String(status))
  t.equal((await (await connect()).json('/health')).status, 200)
})

t.test('a request whose body does not come is given up', async (t) => {
  const { connect } = await startServer(t, { requestTimeout: 50, headersTimeout: 50 }, (request, response) => {
    request.resume()
    request.on('end', () => response.end('{}'))
  })
  const { ask, json } = await connect()
  const slow = ask('/', { method: 'POST', isOpen: true })
  await once(slow.stream, 'close')
  t.equal(slow.stream.rstCode, constants.NGHTTP2_CANCEL)
  t.equal((await json('/', { body: 'x' })).status, 200, 'the connection goes on')
})

t.test('a body that nobody wants need not be sent', async (t) => {
  const { connect } = await startServer(t, {}, (_request, response) => {
    response.writeHead(401, { connection: 'close' }).end('{"code":"refused"}')
  })
  const { ask, json } = await connect()
  const endless = ask('/', { method: 'POST', body: 'x'.repeat(200_000), isOpen: true })
  t.equal((await endless.head).status, 401)
  t.equal((await endless.head).headers.connection, undefined)
  t.equal(await endless.ended, '{"code":"refused"}')
  if (!endless.stream.closed) await once(endless.stream, 'close')
  t.equal(endless.stream.rstCode, 0, 'the stream is over and was no error')
  t.equal((await json('/')).status, 401)
})

t.test('a connection on which nothing is asked is closed, one that waits for its answer is not', async (t) => {
  const held = Promise.withResolvers<void>()
  const { connect } = await startServer(t, { keepAliveTimeout: 50 }, (_request, response) => {
    held.promise.then(() => response.end('{}')).catch(t.fail)
  })
  const [idle, waiting] = [await connect(), await connect()]
  const reply = waiting.json('/')
  t.equal(await idle.goaway, 0)
  await idle.closed
  t.notOk(waiting.session.closed)
  held.resolve()
  t.equal((await reply).status, 200)
})

t.test('a handshake that does not go on is cut off', async (t) => {
  const { port } = await startServer(t, { headersTimeout: 50 }, () => {})
  const socket = connectPlain(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write('\u0016\u0003\u0001')
  await once(socket, 'close')
  t.ok(socket.destroyed)
})

t.test('who opens and resets without end loses the connection, and the others keep theirs', async (t) => {
  let seen = 0
  const { connect } = await startServer(t, {}, (_request, response) => {
    seen++
    setImmediate(() => response.end('{}'))
  })
  const [flood, calm] = [await connect(), await connect()]
  let opened = 0
  while (!flood.session.closed && !flood.session.destroyed && opened < 20_000) {
    for (let n = 0; n < 100 && !flood.session.closed; n++, opened++) flood.ask('/').leave()
    await new Promise((resolve) => void setImmediate(resolve))
  }
  t.ok(opened < 20_000, `${opened} streams were opened, ${seen} of them seen`)
  t.equal((await calm.json('/')).status, 200)
})

t.test('a flood of pings or settings, whose answers nobody reads, leaves the others undisturbed', async (t) => {
  const { url, cert: ca, connect } = await startSecure(t)
  const calm = await connect()
  const { hostname, port } = new URL(url)
  const settings = [0, 0, 0, 4, 0, 0, 0, 0, 0]
  const ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
  const memory = process.memoryUsage().rss
  for (const frame of [ping, settings]) {
    const socket = connectTls({ host: hostname, port: Number(port), ca, ALPNProtocols: ['h2'] })
    socket.on('error', () => {})
    await once(socket, 'secureConnect')
    socket.write(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))
    socket.write(Buffer.from([...settings, ...Array.from({ length: 50_000 }, () => frame).flat()]))
    t.equal((await calm.json('/health')).status, 200)
    socket.destroy()
  }
  t.ok(process.memoryUsage().rss - memory < 64 * 1_048_576)
})

t.test('after the end of a drain nothing is left of a connection', async (t) => {
  const { edge, connect } = await startServer(t, {}, (_request, response) => void response.write('x'.repeat(2_000_000)))
  const client = await connect()
  const stuck = client.ask('/', { isPaused: true })
  await stuck.head
  edge.drain()
  t.equal(await client.goaway, 0)
  await t.rejects(client.ask('/').ended, { code: 'ERR_HTTP2_GOAWAY_SESSION' })
  await edge.close(10)
  await client.closed
  t.ok(client.session.destroyed)
})
