import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { openSurface } from '../surface/open.ts'

const PREDICTION = `/api/v1/prediction/${DEMO_IDS.echo}`
const MIB = 1_048_576

async function start(t: Test) {
  const surface = await openSurface(t, { MAX_BODY_MB: '1' })
  const port = Number(new URL(await surface.listen()).port)
  const sockets: Socket[] = []
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })

  /** Announces a body and sends little of it. */
  function begin(path: string, length = `Content-Length: ${MIB}`, token = ''): Socket {
    const socket = connect(port, '127.0.0.1')
    sockets.push(socket.on('error', () => {}))
    const bearer = token === '' ? '' : `Authorization: Bearer ${token}\r\n`
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${bearer}${length}\r\n\r\n1\r\n{`
    )
    return socket
  }

  const ask = (path: string, body: object, token = '') =>
    fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token === '' ? {} : { authorization: `Bearer ${token}` }) },
      body: JSON.stringify(body)
    })

  /** Asks until the answer has this status. */
  async function until(status: number, again: () => Promise<Response>): Promise<Response> {
    for (;;) {
      const reply = await again()
      if (reply.status === status) return reply
      await reply.arrayBuffer()
    }
  }
  return { ...surface, begin, ask, until }
}

const LARGE = { question: 'q', history: [{ role: 'userMessage', content: 'x'.repeat(100_000) }] }

t.test('bodies that never end keep out those of their sender, and of nobody else', async (t) => {
  const { begin, ask, until, visitor, user } = await start(t)
  const slow = `/e/${await visitor('slow')}${PREDICTION}`
  const [first] = [begin(slow), begin(slow), begin(slow), begin(slow)]
  const refused = await until(429, () => ask(slow, LARGE))
  t.equal(refused.headers.get('retry-after'), '1')
  t.match(await refused.json(), { code: 'too_many_uploads', message: /Too many files are being sent/ })
  t.equal((await ask(slow, { question: 'small' })).status, 200)
  const unannounced = begin(slow, 'Transfer-Encoding: chunked')
  await new Promise((resolve) => void unannounced.on('close', resolve).resume())
  t.equal((await ask(`/e/${await visitor('other')}${PREDICTION}`, LARGE)).status, 200)
  t.equal((await ask(PREDICTION, LARGE, user.token)).status, 200)
  first?.destroy()
  await until(200, () => ask(slow, LARGE))
})

t.test('all together leave room for small requests', async (t) => {
  const { begin, ask, until, createUser } = await start(t)
  const users = await Promise.all([1, 2, 3, 4, 5].map(() => createUser({ grants: [DEMO_IDS.echo] })))
  const last = users.pop()?.token
  for (const { token } of users) for (let count = 0; count < 4; count++) begin('/api/v1/chat/predict', undefined, token)
  const refused = await until(503, () => ask(PREDICTION, LARGE, last))
  t.match(await refused.json(), { code: 'overloaded' })
  t.equal((await ask(PREDICTION, { question: 'small' }, last)).status, 200)
})
