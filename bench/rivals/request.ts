import fastify from 'fastify'
import { Pool } from 'undici'

/** The least a handler can do to forward a prediction: the body as it came, the answer as it comes. */
const [upstream = '', port] = process.argv.slice(2)
const pool = new Pool(upstream)
const app = fastify({ logger: false })
app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
app.post('/api/v1/prediction/:id', async (request, reply) => {
  const { statusCode, headers, body } = await pool.request({
    method: 'POST',
    path: request.url,
    headers: { 'content-type': 'application/json' },
    body: Buffer.isBuffer(request.body) ? request.body : null
  })
  const type = String(headers['content-type'])
  reply.code(statusCode).header('content-type', type)
  return type.startsWith('application/json') ? body.text() : reply.send(body)
})
await app.listen({ host: '127.0.0.1', port: Number(port) })
