import fastify, { type FastifyReply } from 'fastify'
import { type Dispatcher, Pool } from 'undici'

/** The lowest that undici offers: its parser hands over the pieces of the answer, and they go to the socket as they come. */
const [upstream = '', port] = process.argv.slice(2)
const pool = new Pool(upstream)
const app = fastify({ logger: false })
app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
app.post('/api/v1/prediction/:id', (request, reply) => {
  reply.hijack()
  const body = Buffer.isBuffer(request.body) ? request.body : null
  const headers = { 'content-type': 'application/json' }
  pool.dispatch({ method: 'POST', path: request.url, headers, body }, handlerOf(reply))
})
await app.listen({ host: '127.0.0.1', port: Number(port) })

function handlerOf({ raw }: FastifyReply): Dispatcher.DispatchHandler {
  return {
    onRequestStart(controller) {
      raw.once('close', () => {
        if (!raw.writableFinished) controller.abort(new Error('The client has left.'))
      })
    },
    onResponseStart(_controller, statusCode, headers) {
      const kept = ['content-type', 'content-length'].flatMap((name) => {
        const value = headers[name]
        return value === undefined ? [] : [[name, value] as const]
      })
      raw.writeHead(statusCode, Object.fromEntries(kept))
    },
    onResponseData(controller, chunk) {
      if (raw.write(chunk)) return
      controller.pause()
      raw.once('drain', () => controller.resume())
    },
    onResponseEnd() {
      raw.end()
    },
    onResponseError() {
      raw.destroy()
    }
  }
}
