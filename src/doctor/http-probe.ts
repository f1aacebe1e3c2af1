import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { Agent, buildConnector, type Dispatcher } from 'undici'
import type { Clock } from '../clock.ts'

export interface HttpProbeOptions {
  /** Without a slash at its end. */
  baseUrl: string
  clock: Clock
  /** False where the name cannot fit the certificate, as on localhost. */
  isCertificateChecked?: boolean
  timeoutMs?: number
}

export interface ProbeReply {
  status: number
  headers: Readonly<Record<string, string>>
  /** The beginning of the body. */
  text: string
  elapsedMs: number
}

export interface ProbeStream {
  status: number
  headers: ProbeReply['headers']
  body: Dispatcher.ResponseData['body']
}

/** How the last connection was made. */
export interface ProbeConnection {
  protocol: 'HTTP/1.1' | 'HTTP/2'
  /** Epoch ms; undefined without TLS. */
  certificateExpiresAt: number | undefined
}

/** Asks a server as a visitor would: one GET at a time, no redirects followed, HTTP/2 where it is offered. */
export interface HttpProbe {
  /** Rejects when there is no whole answer in time; `reasonOf` says why. */
  get(path: string, headers?: Record<string, string>): Promise<ProbeReply>
  /** The same, with the body still to come; `timeoutMs` counts for the body too. */
  open(path: string, options: { headers: Record<string, string>; timeoutMs: number }): Promise<ProbeStream>
  readonly connection: ProbeConnection | undefined
  close(): Promise<void>
}

const TIMEOUT_MS = 5000
const MAX_TEXT_BYTES = 65_536

const REASONS: Record<string, string> = {
  ECONNREFUSED: 'the connection is refused',
  ECONNRESET: 'the connection is cut',
  UND_ERR_SOCKET: 'the connection is cut',
  ENOTFOUND: 'the host name is unknown',
  EAI_AGAIN: 'the host name cannot be looked up',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
  ETIMEDOUT: 'no answer in time',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is signed by itself',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate comes from an authority that is unknown here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate lacks the intermediate ones',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate comes from an authority that is unknown here',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  EPROTO: 'it does not speak TLS',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS'
}

/** A probe with connections of its own. */
export function createHttpProbe(options: HttpProbeOptions): HttpProbe {
  const { baseUrl, clock, isCertificateChecked = true, timeoutMs = TIMEOUT_MS } = options
  const { origin, pathname } = new URL(baseUrl)
  const connect = buildConnector({ allowH2: true, timeout: timeoutMs, rejectUnauthorized: isCertificateChecked })
  let connection: ProbeConnection | undefined
  const agent = new Agent({
    allowH2: true,
    connect(target, callback) {
      connect(target, (...[error, socket]) => {
        if (error) return callback(error, null)
        connection = describe(socket)
        callback(null, socket)
      })
    }
  })

  const open: HttpProbe['open'] = async (path, { headers, timeoutMs: limitMs }) => {
    const limit = new AbortController()
    const cancel = clock.after(limitMs, () => limit.abort(new Error('no answer in time')))
    try {
      const {
        statusCode,
        headers: answered,
        body
      } = await agent.request({
        origin,
        path: `${pathname.replace(/\/+$/, '')}${path}`,
        method: 'GET',
        headers,
        signal: limit.signal
      })
      // An error of a body that nobody reads to its end is nobody's; whoever reads it gets it.
      body.on('error', () => {}).on('close', cancel)
      return { status: statusCode, headers: flat(answered), body }
    } catch (error) {
      cancel()
      throw error
    }
  }

  return {
    open,
    async get(path, headers = {}) {
      const startedAt = clock.now()
      const { status, headers: answered, body } = await open(path, { headers, timeoutMs })
      return { status, headers: answered, text: await beginningOf(body), elapsedMs: clock.now() - startedAt }
    },
    get connection() {
      return connection
    },
    close: () => agent.destroy()
  }
}

/** Why there was no answer, in words, and without addresses. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error ? String(error.code) : ''
  return REASONS[code] ?? (error.message === '' ? code : error.message)
}

function describe(socket: Socket | TLSSocket): ProbeConnection {
  if (!(socket instanceof TLSSocket)) return { protocol: 'HTTP/1.1', certificateExpiresAt: undefined }
  const expiresAt = Date.parse(socket.getPeerCertificate().valid_to)
  return {
    protocol: socket.alpnProtocol === 'h2' ? 'HTTP/2' : 'HTTP/1.1',
    certificateExpiresAt: Number.isNaN(expiresAt) ? undefined : expiresAt
  }
}

function flat(headers: Dispatcher.ResponseData['headers']): Record<string, string> {
  const present = Object.entries(headers).filter(([, value]) => value !== undefined)
  return Object.fromEntries(present.map(([name, value]) => [name, String(value)]))
}

async function beginningOf(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    chunks.push(chunk)
    bytes += chunk.length
    // Leaving the loop destroys the rest.
    if (bytes >= MAX_TEXT_BYTES) break
  }
  return Buffer.concat(chunks).subarray(0, MAX_TEXT_BYTES).toString()
}
