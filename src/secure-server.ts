import type { OutgoingHttpHeaders, RequestListener, Server } from 'node:http'
import { constants, createSecureServer, Http2ServerResponse, type ServerHttp2Session } from 'node:http2'
import type { Clock } from './clock.ts'
import type { KeyPair, KeyPairFiles } from './tls.ts'

/** The times of a connection, in ms; HTTP/2 is held to them by this file. */
export interface ArrivalLimits {
  /** For a whole request to arrive. */
  readonly requestTimeout: number
  /** For its headers, and for the handshake of TLS. */
  readonly headersTimeout: number
  readonly connectionsCheckingInterval: number
  /** For a connection on which nothing is asked. */
  readonly keepAliveTimeout: number
  readonly requireHostHeader: boolean
}

/** What speaks TLS: HTTP/2 and HTTP/1.1 on one port, by ALPN. */
export interface SecureEdge {
  readonly files: KeyPairFiles
  /** A server that does not listen yet. */
  createServer(handler: RequestListener, limits: ArrivalLimits): Server
  /** New connections get this pair; those that are there keep theirs. */
  use(pair: KeyPair): void
  /** Tells every HTTP/2 client to ask on another connection (GOAWAY): what runs goes on, what is idle closes. */
  drain(): void
  /** The same, and cuts after `lingerMs` who has not read to the end. Resolves when no HTTP/2 connection is left. */
  close(lingerMs: number): Promise<void>
}

/**
 * What one connection may make the process hold or do. HTTP/1.1 has one request per connection; here streams are what
 * counts. Floods of PING, SETTINGS and CONTINUATION are ended by nghttp2 itself.
 */
const SESSION_LIMITS = {
  // A browser wants 100; one connection of a server in front carries all of its users.
  settings: { maxConcurrentStreams: 256, maxHeaderListSize: 32_768, enablePush: false },
  maxSessionInvalidFrames: 100,
  maxSessionRejectedStreams: 100,
  // Rapid reset (CVE-2023-44487): who leaves may leave all at once, but not go on like that.
  streamResetBurst: 512,
  streamResetRate: 32
}
const MIN_VERSION = 'TLSv1.2'

/** Serves the pair of `files`; reading them again is the caller's part. */
export function createSecureEdge(files: KeyPairFiles, clock: Clock): SecureEdge {
  const servers = new Set<ReturnType<typeof createSecureServer>>()
  const sessions = new Set<ServerHttp2Session>()
  let isClosing = false

  function drain(): void {
    for (const session of sessions) session.close()
  }

  function accept(session: ServerHttp2Session, limits: ArrivalLimits): void {
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
    limitSession(session, limits, clock)
    if (isClosing) session.close()
  }

  return {
    files,
    createServer(handler, limits) {
      const server = createSecureServer({
        ...SESSION_LIMITS,
        ...limits,
        ...secretsOf(files.current),
        handshakeTimeout: limits.headersTimeout,
        allowHTTP1: true,
        Http2ServerResponse: replyClass()
      })
      servers.add(server)
      server.on('request', handler as never)
      server.on('session', (session) => accept(session, limits))
      // Without a handshake there is nobody to answer.
      server.on('tlsClientError', (_error, socket) => socket.destroy())
      // A Fastify application has one type of server; what both have in common is all that is used of this one.
      return server as unknown as Server
    },
    use(pair) {
      for (const server of servers) server.setSecureContext(secretsOf(pair))
    },
    drain,
    async close(lingerMs) {
      isClosing = true
      drain()
      const cancel = clock.after(lingerMs, () => {
        for (const session of sessions) session.destroy()
      })
      await Promise.all([...sessions].map((session) => new Promise((resolve) => void session.once('close', resolve))))
      cancel()
    }
  }
}

function secretsOf({ cert, key }: KeyPair) {
  return { cert, key, minVersion: MIN_VERSION } as const
}

/** The time limits that Node has for HTTP/1.1 only. */
function limitSession(session: ServerHttp2Session, limits: ArrivalLimits, clock: Clock): void {
  let running = 0
  // Nothing is sent while a flow thinks, so silence alone does not close a connection.
  session.setTimeout(limits.keepAliveTimeout, () => {
    if (running === 0) session.close()
  })
  session.on('stream', (stream, _headers, flags) => {
    running++
    stream.once('close', () => {
      running--
    })
    if ((flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) return
    const cancel = clock.after(limits.requestTimeout, () => stream.close(constants.NGHTTP2_CANCEL))
    stream.once('end', cancel)
    stream.once('close', cancel)
  })
}

/**
 * Node's reply, made to end as that of HTTP/1.1 does: Node's own says that it has finished when its client has left, and
 * never that it is closed. Work would go on for nobody, and the log would have an answer.
 */
function replyClass() {
  class Http2Reply extends Http2ServerResponse {
    override writeHead(statusCode: number, ...rest: unknown[]): this {
      const headers = rest.at(-1)
      // Meant for HTTP/1.1, and Node would write a warning about it.
      if (typeof headers === 'object' && headers !== null) Reflect.deleteProperty(headers, 'connection')
      return super.writeHead(statusCode, ...(rest as [OutgoingHttpHeaders]))
    }

    override emit(event: string | symbol, ...values: unknown[]): boolean {
      return event === 'finish' && isCut(this) ? false : super.emit(event, ...values)
    }
  }
  // The types have properties where there is nothing, so that these cannot be written as members.
  const closed = getter((reply) => reply.stream.destroyed)
  const writableFinished = getter((reply) => reply.stream.writableFinished && !isCut(reply))
  Object.defineProperties(Http2Reply.prototype, { closed, destroyed: closed, writableFinished })
  return Http2Reply
}

function getter(read: (reply: Http2ServerResponse) => boolean): PropertyDescriptor {
  return {
    get(this: Http2ServerResponse) {
      return read(this)
    }
  }
}

function isCut({ stream }: Http2ServerResponse): boolean {
  return stream.aborted || (stream.rstCode ?? constants.NGHTTP2_NO_ERROR) !== constants.NGHTTP2_NO_ERROR
}
