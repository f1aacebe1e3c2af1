import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { startLoadBalancer, withHaproxy } from './load-balancer.ts'

withHaproxy(t, 'what a client claims about its address is replaced', async (t, program) => {
  const { url } = await start(t, program)
  const reply = await fetch(url, {
    headers: {
      'x-forwarded-for': '10.1.2.3, 10.4.5.6',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'evil.example.com',
      'x-forwarded-port': '443',
      forwarded: 'for=10.1.2.3',
      'x-request-id': 'mine'
    }
  })
  const { 'x-forwarded-for': client, ...seen }: IncomingHttpHeaders = JSON.parse(await reply.text())
  t.equal(client, '127.0.0.1')
  t.match(seen, { 'x-forwarded-proto': 'http', 'x-forwarded-host': new URL(url).host, 'x-request-id': 'mine' })
  t.notOk('forwarded' in seen || 'x-forwarded-port' in seen)
  const bare: IncomingHttpHeaders = JSON.parse(await (await fetch(url)).text())
  t.match(bare['x-request-id'], /^[0-9a-f-]{36}$/, 'a request without an id gets one')
})

withHaproxy(t, 'a WebSocket passes both ways, and its end too', async (t, program) => {
  const { url } = await start(t, program)
  const upgrading = request(url, { headers: UPGRADE }).end()
  const [{ statusCode, headers }, socket] = await once(upgrading, 'upgrade')
  t.equal(statusCode, 101)
  t.equal(headers.upgrade, 'websocket')
  for (const message of ['first', 'second']) {
    socket.write(message)
    t.equal(String((await once(socket, 'data'))[0]), message)
  }
  socket.end()
  await once(socket, 'close')
  t.ok(socket.destroyed)
})

const UPGRADE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'sec-websocket-version': '13'
}
const ACCEPT = [
  'HTTP/1.1 101 Switching Protocols',
  'Connection: Upgrade',
  'Upgrade: websocket',
  // RFC 6455, section 1.3: the answer to the key above.
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
  '\r\n'
].join('\r\n')

/** A server that is always ready, answers with the headers it got, and echoes what comes after an upgrade. */
async function start(t: Test, program: string) {
  const server = createServer((request, response) => response.end(JSON.stringify(request.headers)))
  server.on('upgrade', (_request, socket) => {
    socket.write(ACCEPT)
    socket.on('data', (data) => void socket.write(data))
    socket.on('end', () => void socket.end())
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  const balancer = await startLoadBalancer(t, program, [port])
  await balancer.becomes('gateway-1', /^UP/)
  return balancer
}
