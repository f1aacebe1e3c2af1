import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Agent, type Dispatcher, request } from 'undici'
import { createConnect } from '../../src/flowise/connect.ts'

const HEAD = 'HTTP/1.1 200 OK\r\nX-First: one\r\nContent-Type: text/plain\r\nX-Last: two\r\n'

/** A server that hands over the connection of each request. */
async function serve(t: Test, answer: (socket: Socket) => void): Promise<{ origin: string; agent: Agent }> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', () => answer(socket))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const agent = new Agent({ connect: createConnect(5000), connections: 1 })
  t.teardown(async () => {
    await agent.destroy()
    server.close()
  })
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, agent }
}

async function writePiecewise(socket: Socket, text: string, size: number): Promise<void> {
  socket.setNoDelay(true)
  for (let at = 0; at < text.length; at += size) {
    socket.write(text.slice(at, at + size))
    await turn()
    await turn()
  }
}

t.test('a head and a body are whole however they were cut', async (t) => {
  const reply = `${HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n7\r\n, world\r\n0\r\n\r\n`
  let size = 1
  const { origin, agent } = await serve(t, (socket) => void writePiecewise(socket, reply, size))
  for (size of [1, 7, 40, reply.length]) {
    const { headers, body } = await request(origin, { dispatcher: agent })
    t.match(headers, { 'x-first': 'one', 'content-type': 'text/plain', 'x-last': 'two' }, `pieces of ${size}`)
    t.equal(await body.text(), 'Hello, world')
  }
})

t.test('an answer that is larger than all buffers arrives in order, at the speed of its reader', async (t) => {
  const size = 8_000_000
  const bytes = Buffer.from(Array.from({ length: size }, (_, index) => (index * 7 + (index >> 8)) & 0xff))
  let written = 0
  const { origin, agent } = await serve(t, (socket) => {
    socket.write(`${HEAD}Content-Length: ${size}\r\n\r\n`)
    for (let at = 0; at < size; at += 50_000)
      socket.write(bytes.subarray(at, at + 50_000), (error) => {
        if (!error) written += 50_000
      })
  })
  const { promise: finished, resolve: finish, reject } = Promise.withResolvers<void>()
  const paused = Promise.withResolvers<Dispatcher.DispatchController>()
  const read: Buffer[] = []
  agent.dispatch(
    { origin, path: '/', method: 'GET' },
    {
      onRequestStart() {},
      onResponseData(controller, chunk) {
        if (read.push(Buffer.from(chunk)) % 20 !== 1) return
        controller.pause()
        if (read.length === 1) paused.resolve(controller)
        else setImmediate(() => controller.resume())
      },
      onResponseEnd: () => finish(),
      onResponseError: (_controller, error) => reject(error)
    }
  )
  const controller = await paused.promise
  for (let turns = 0; turns < 50; turns++) await turn()
  t.equal(read.length, 1, 'nothing after a pause')
  t.ok(written < size, 'and the server has to wait')
  controller.resume()
  await finished
  t.ok(Buffer.concat(read).equals(bytes))
})

t.test('a connection that ends is told as one, and another takes its place', async (t) => {
  let answers = 0
  const { origin, agent } = await serve(t, (socket) => {
    if (answers++ === 0) socket.end(`${HEAD}Content-Length: 5\r\n\r\nHel`)
    else socket.end(`${HEAD}Connection: close\r\n\r\nto the end`)
  })
  const cut = await request(origin, { dispatcher: agent })
  await t.rejects(cut.body.text(), { code: 'UND_ERR_SOCKET' })
  const whole = await request(origin, { dispatcher: agent })
  t.equal(await whole.body.text(), 'to the end')
})

t.test('one connection serves one request after the other', async (t) => {
  const sockets = new Set<Socket>()
  const { origin, agent } = await serve(t, (socket) => {
    sockets.add(socket)
    socket.write(`${HEAD}Content-Length: 2\r\n\r\nok`)
  })
  for (let count = 0; count < 5; count++) {
    const { body } = await request(origin, { dispatcher: agent })
    t.equal(await body.text(), 'ok')
  }
  t.equal(sockets.size, 1)
})

t.test('nobody there is an error', async (t) => {
  const agent = new Agent({ connect: createConnect(5000), connections: 1 })
  t.teardown(() => agent.destroy())
  await t.rejects(request('http://127.0.0.1:1', { dispatcher: agent }), { code: 'ECONNREFUSED' })
})
