import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders
} from 'node:http2'
import type { Test } from 'tap'

export interface Head {
  status: number
  headers: IncomingHttpHeaders
}

/** One stream of a connection, read as it arrives. */
export interface Http2Wire {
  stream: ClientHttp2Stream
  /** Resolves with the head. */
  head: Promise<Head>
  /** What has arrived so far. */
  text(): string
  /** Resolves when what has arrived satisfies it; rejects when the reply ends before. */
  until(pattern: RegExp): Promise<string>
  /** Resolves with the whole body. */
  ended: Promise<string>
  /** Resets the stream; the others of the connection go on. */
  leave(): void
  resume(): void
}

export interface Http2Ask {
  method?: string
  token?: string
  /** An object becomes JSON. */
  body?: unknown
  headers?: Record<string, string>
  /** Does not read the body until `resume`. */
  isPaused?: boolean
  /** Leaves the request open after its body. */
  isOpen?: boolean
}

export interface Http2Client {
  session: ClientHttp2Session
  ask(path: string, options?: Http2Ask): Http2Wire
  /** The whole reply, its body as JSON. */
  json(path: string, options?: Http2Ask): Promise<Head & { body: unknown }>
  /** Resolves with the code of the server's GOAWAY. */
  goaway: Promise<number>
  closed: Promise<void>
}

/** A connection of its own that trusts this certificate; ends with the test. */
export async function connectHttp2(t: Test, url: string, ca: string): Promise<Http2Client> {
  const session = connect(url, { ca })
  const goaway = Promise.withResolvers<number>()
  const closed = Promise.withResolvers<void>()
  session.on('error', () => {})
  session.on('goaway', goaway.resolve)
  session.on('close', closed.resolve)
  t.teardown(() => session.destroy())
  await once(session, 'connect')

  function ask(path: string, options: Http2Ask = {}): Http2Wire {
    const { token, body, headers = {}, isPaused = false, isOpen = false } = options
    const isRaw = body === undefined || typeof body === 'string' || Buffer.isBuffer(body)
    const payload = isRaw ? body : JSON.stringify(body)
    const method = options.method ?? (payload === undefined ? 'GET' : 'POST')
    const stream = session.request(
      {
        ':path': path,
        ':method': method,
        ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...headers
      },
      { endStream: payload === undefined && !isOpen }
    )
    if (payload !== undefined && isOpen) stream.write(payload)
    else if (payload !== undefined) stream.end(payload)
    return read(stream, isPaused)
  }

  return {
    session,
    ask,
    async json(path, options) {
      const wire = ask(path, options)
      const text = await wire.ended
      return { ...(await wire.head), body: JSON.parse(text) }
    },
    goaway: goaway.promise,
    closed: closed.promise
  }
}

function read(stream: ClientHttp2Stream, isPaused: boolean): Http2Wire {
  const head = Promise.withResolvers<Head>()
  const ended = Promise.withResolvers<string>()
  const waiting = new Set<() => void>()
  const chunks: Buffer[] = []
  let isOver = false
  const text = () => Buffer.concat(chunks).toString()
  const changed = () => {
    for (const wake of waiting) wake()
    waiting.clear()
  }
  const take = (chunk: Buffer) => {
    chunks.push(chunk)
    changed()
  }
  head.promise.catch(() => {})
  ended.promise.catch(() => {})
  stream.on('response', ({ ':status': status = 0, ...headers }) => {
    head.resolve({ status, headers: Object.fromEntries(Object.entries(headers)) })
  })
  stream.on('end', () => ended.resolve(text()))
  stream.on('error', ended.reject)
  stream.on('close', () => {
    isOver = true
    const error = new Error(`the stream was closed with ${stream.rstCode}`)
    head.reject(error)
    ended.reject(error)
    changed()
  })
  if (!isPaused) stream.on('data', take)
  return {
    stream,
    head: head.promise,
    text,
    async until(pattern) {
      for (;;) {
        if (pattern.test(text())) return text()
        if (isOver) throw new Error(`ended without ${pattern}: ${text()}`)
        await new Promise<void>((resolve) => void waiting.add(resolve))
      }
    },
    ended: ended.promise,
    leave: () => stream.close(constants.NGHTTP2_CANCEL),
    resume: () => void stream.on('data', take)
  }
}
