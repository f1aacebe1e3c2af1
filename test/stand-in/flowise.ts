import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import { createDemoHandler, readBody } from '../../src/flowise/demo.ts'
import { isRecord, parseJson } from '../../src/flowise/json.ts'
import { type Ask, type Fault, faultIn, play } from './fault.ts'

export { FAULTS, type Fault } from './fault.ts'

/** A request as it arrived. */
export interface SeenRequest {
  method: string
  /** Path and query. */
  url: string
  headers: IncomingHttpHeaders
  /** Parsed if it is JSON, else text. */
  body: unknown
  /** Bytes of body written in answer so far. */
  sentBytes: number
  /** The answer has been delivered in full. */
  isAnswered: boolean
  /** The other side closed the connection before that. */
  isLeft: boolean
}

/** A place where an answer stops until the test opens it. */
export interface Gate {
  /** Resolves when an answer has come to it. */
  readonly reached: Promise<void>
  open(): void
}

export interface StandIn {
  readonly url: string
  readonly requests: SeenRequest[]
  /** Requests to abort a run. */
  readonly aborts: SeenRequest[]
  readonly predictions: SeenRequest[]
  /** The next request that matches is answered like this; matched against `METHOD /path`. Default: predictions. */
  next(fault: Fault, on?: RegExp): void
  /** As `next`, for every request from now on; the one set last wins, one-time faults come first. */
  always(fault: Fault, on?: RegExp): void
  /** What Flowise has stored as the message `stored-1`, which the streams' metadata names. */
  store(text: string): void
  /** The gate of this name; made when first asked for. */
  gate(name: string): Gate
  /** The first request that satisfies it, now or as soon as there is one. */
  waitFor(predicate: (request: SeenRequest) => boolean): Promise<SeenRequest>
  /** No server any more: connections are refused. Closing twice is fine. */
  close(): Promise<void>
}

const PREDICTIONS = /^POST .*\/prediction\//

/**
 * Flowise for tests: the demo at full speed, with faults on command and a record of all that arrives.
 * A prediction whose question is `{"fault":…}` orders its own answer.
 */
export async function startStandIn(): Promise<StandIn> {
  const demo = createDemoHandler({ pace: 0 })
  const requests: SeenRequest[] = []
  const once: { fault: Fault; on: RegExp }[] = []
  const always: { fault: Fault; on: RegExp }[] = []
  const gates = new Map<string, { gate: Gate; arrive: () => void; opened: Promise<void> }>()
  const waiting = new Set<() => void>()
  const sockets = new Set<Socket>()

  const server = createServer((request, response) => {
    readBody(request)
      .then(async (bytes) => {
        const { method = '', url = '', headers } = request
        const text = bytes.toString()
        const seen: SeenRequest = {
          method,
          url,
          headers,
          body: parseJson(text) ?? text,
          sentBytes: 0,
          isAnswered: false,
          isLeft: false
        }
        requests.push(seen)
        response.on('close', () => {
          seen.isAnswered = response.writableFinished
          seen.isLeft = !seen.isAnswered
          changed()
        })
        changed()
        const ask = readAsk(seen.body)
        const fault = faultFor(`${method} ${url}`) ?? faultIn(ask.question)
        if (!fault) return demo.handle(request, bytes, response)
        await play(fault, ask, response, { pass, sent: (count) => void (seen.sentBytes += count) })
      })
      .catch(() => response.destroy())
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const address = server.address()

  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`,
    requests,
    get aborts() {
      return requests.filter(({ method, url }) => method === 'PUT' && url.includes('/chatmessage/abort/'))
    },
    get predictions() {
      return requests.filter(({ method, url }) => PREDICTIONS.test(`${method} ${url}`))
    },
    next: (fault, on = PREDICTIONS) => void once.push({ fault, on }),
    always: (fault, on = PREDICTIONS) => void always.unshift({ fault, on }),
    store(text) {
      const row = { id: 'stored-1', role: 'apiMessage', content: text }
      always.unshift({ fault: { body: JSON.stringify([row]) }, on: /^GET .*[?&]messageId=stored-1\b/ })
    },
    gate: (name) => gateOf(name).gate,
    async waitFor(predicate) {
      for (;;) {
        const found = requests.find(predicate)
        if (found) return found
        await new Promise<void>((resolve) => void waiting.add(resolve))
      }
    },
    async close() {
      demo.close()
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()))
      for (const socket of sockets) socket.destroy()
      await closed
    }
  }

  function faultFor(line: string): Fault | undefined {
    const index = once.findIndex(({ on }) => on.test(line))
    if (index >= 0) return once.splice(index, 1)[0]?.fault
    return always.find(({ on }) => on.test(line))?.fault
  }

  function gateOf(name: string) {
    const known = gates.get(name)
    if (known) return known
    const { promise: opened, resolve: open } = Promise.withResolvers<void>()
    const { promise: reached, resolve: arrive } = Promise.withResolvers<void>()
    const made = { gate: { reached, open }, arrive, opened }
    gates.set(name, made)
    return made
  }

  async function pass(name: string | undefined): Promise<void> {
    if (name === undefined) return
    const { arrive, opened } = gateOf(name)
    arrive()
    await opened
  }

  function changed(): void {
    for (const wake of waiting) wake()
    waiting.clear()
  }
}

function readAsk(body: unknown): Ask {
  const { question, chatId, overrideConfig, streaming } = isRecord(body) ? body : {}
  const sessionId = isRecord(overrideConfig) ? overrideConfig.sessionId : undefined
  return {
    question: textOf(question),
    chatId: textOf(chatId),
    sessionId: textOf(sessionId),
    streaming: streaming === true
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
