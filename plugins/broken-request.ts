import { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { ConnectionError, FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { AppError } from '../src/errors.ts'
import { problemBody } from './problem.ts'

/** The headers that every reply has. */
type StandingHeaders = Record<string, string> & { 'x-request-id': string }

const details: Record<string, string> = {
  HPE_HEADER_OVERFLOW: 'The headers are too large.',
  ERR_HTTP_REQUEST_TIMEOUT: 'The request did not arrive in time.'
}

/** Answers bytes that are no HTTP request, on the bare socket, and ends the connection; `standing` has the request id. */
export function answerBrokenRequest(error: ConnectionError, socket: Socket, standing: StandingHeaders): void {
  if (error.code === 'ECONNRESET' || !socket.writable || isAnswering(socket)) {
    socket.destroy()
    return
  }
  const detail = details[error.code]
  const body = JSON.stringify(
    problemBody(new AppError('bad_request', detail ? { detail } : {}), standing['x-request-id'], '')
  )
  const headers = {
    ...standing,
    'content-type': 'application/problem+json',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close'
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 400 Bad Request\r\n${lines.join('')}\r\n${body}`)
}

/**
 * Whether a reply is under way, which must not get a second one in its middle. A request whose body breaks off has one
 * that has not begun; Node's own handler makes the same difference.
 */
function isAnswering(socket: Socket): boolean {
  const reply: unknown = Reflect.get(socket, '_httpMessage')
  return reply instanceof ServerResponse && reply.headersSent
}

/** Refuses what HTTP forbids but the parser was told to let through, so that the refusal is a problem like any other. */
export default fp(
  async function brokenRequest(app: FastifyInstance) {
    app.addHook('onRequest', function requireHost({ raw }, _reply, done) {
      const isMissing = raw.headers.host === undefined && raw.httpVersion === '1.1'
      done(isMissing ? new AppError('bad_request', { detail: 'The Host header is missing.' }) : undefined)
    })
    // Node would answer an unknown expectation with a bare 417; it is the client's mistake to be told like others.
    app.server.on('checkExpectation', (request, response) => app.routing(request, response))
  },
  { name: 'broken-request', dependencies: ['problem', 'request-log', 'security-headers'] }
)
