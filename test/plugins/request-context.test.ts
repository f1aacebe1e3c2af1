import { connect } from 'node:net'
import fastify, { type FastifyReply } from 'fastify'
import t, { type Test } from 'tap'
import requestContext from '../../plugins/request-context.ts'

/** A server that counts how often each listener hears of the end of a reply. */
async function start(t: Test, answer: (reply: FastifyReply) => unknown) {
  const told = [0, 0, 0]
  const ended = Promise.withResolvers<Pick<FastifyReply, 'raw' | 'whenClosed'>>()
  const app = fastify()
  t.teardown(() => app.close())
  await app.register(requestContext)
  const count = (index: number) => () => {
    told[index] = (told[index] ?? 0) + 1
  }
  app.get('/', async (_request, reply) => {
    reply.whenClosed(count(0))
    reply.whenClosed(() => {
      count(1)()
      // Who comes during the end, and who comes after it, hears of it too.
      reply.whenClosed(() => {
        count(2)()
        // A reply by itself would be taken for a promise.
        ended.resolve({ raw: reply.raw, whenClosed: (listener) => reply.whenClosed(listener) })
      })
    })
    return answer(reply)
  })
  const port = Number(new URL(await app.listen({ port: 0 })).port)
  return { app, port, told, ended: ended.promise }
}

t.test('every listener hears once of a reply that was sent', async (t) => {
  const { port, told, ended } = await start(t, () => 'answer')
  t.equal(await (await fetch(`http://127.0.0.1:${port}`)).text(), 'answer')
  const { raw } = await ended
  t.equal(raw.writableFinished, true)
  t.strictSame(told, [1, 1, 1])
})

t.test('and of one that was injected', async (t) => {
  const { app, told, ended } = await start(t, () => 'answer')
  t.equal((await app.inject('/')).payload, 'answer')
  await ended
  t.strictSame(told, [1, 1, 1])
})

t.test('and of clients that leave before or in the middle of it, and of replies that are cut', async (t) => {
  const beginnings: ((reply: FastifyReply) => void)[] = [
    () => {},
    ({ raw }) => void raw.writeHead(200).write('half'),
    ({ raw }) => void raw.writeHead(200).end(Buffer.alloc(30_000_000)),
    ({ raw }) => void raw.destroy()
  ]
  for (const begin of beginnings) {
    const asked = Promise.withResolvers<void>()
    const { port, told, ended } = await start(t, (reply) => {
      reply.hijack()
      begin(reply)
      asked.resolve()
    })
    const client = connect(port, '127.0.0.1').on('error', () => {})
    client.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    await asked.promise
    client.destroy()
    const { raw } = await ended
    t.equal(raw.writableFinished, false)
    t.strictSame(told, [1, 1, 1])
  }
})

t.test('a reply that is closed tells at once, in a later turn', async (t) => {
  const { port, ended } = await start(t, () => 'answer')
  await fetch(`http://127.0.0.1:${port}`)
  const reply = await ended
  let isTold = false
  const told = new Promise<void>((resolve) => {
    reply.whenClosed(() => {
      isTold = true
      resolve()
    })
  })
  t.notOk(isTold)
  await told
  t.ok(isTold)
})
