import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { percentile } from '../statistics.ts'
import type { Lane, Requests } from '../targets.ts'

const TOKEN = Buffer.from('"event":"token"')
const END = Buffer.from('"event":"end"')

export interface OpenTask {
  requests: Requests
  /** The openings are spread over this time, so that the tokens of the streams are spread too. */
  overMs: number
}

export interface LoopTask extends OpenTask {
  seconds: number
  tokens: number
}

export interface LoopResult {
  streams: number
  firstP50Ms: number
  firstP99Ms: number
}

export interface FinishResult {
  gapP99Ms: number
  /** Streams that ended without all of their tokens and their end. */
  broken: number
}

interface Stream {
  tokens: number
  hasEnd: boolean
  sentAt: number
  firstAt: number
  lastAt: number
  gaps: number[]
  done: Promise<void>
  destroy(): void
}

/** The streams of one process: opened together, read side by side, ended together. */
export interface StreamLoad {
  /** Resolves when each stream has its first token. */
  open(task: OpenTask): Promise<void>
  /** Tokens received so far, of all streams. */
  tokens(): number
  /** Waits for the end of all. */
  finish(task: { tokens: number }): Promise<FinishResult>
  /** Leaves them all. */
  leave(): void
  /** One stream after the other on each lane, the lanes out of step. @throws when one lacks a token or its end */
  loop(task: LoopTask): Promise<LoopResult>
}

/** A client for event streams that looks for tokens and the end in the bytes, and parses nothing. */
export function createStreamLoad(): StreamLoad {
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
  let open: Stream[] = []

  return {
    async open({ requests, overMs }) {
      const startedAt = performance.now()
      open = []
      const opening: Promise<Stream>[] = []
      const total = requests.lanes.length
      while (opening.length < total) {
        const due = Math.min(total, Math.ceil(((performance.now() - startedAt) / overMs) * total))
        while (opening.length < due) opening.push(openStream(agent, requests.url, requests.lanes[opening.length]))
        await pause(1)
      }
      open = await Promise.all(opening)
    },
    tokens: () => open.reduce((sum, stream) => sum + stream.tokens, 0),
    async finish({ tokens }) {
      await Promise.all(open.map(({ done }) => done))
      const broken = open.filter((stream) => stream.tokens !== tokens || !stream.hasEnd).length
      return {
        gapP99Ms: percentile(
          open.flatMap(({ gaps }) => gaps),
          0.99
        ),
        broken
      }
    },
    leave() {
      for (const stream of open) stream.destroy()
      open = []
    },
    async loop({ requests, seconds, overMs, tokens }) {
      const firsts: number[] = []
      const until = performance.now() + seconds * 1000
      await Promise.all(
        requests.lanes.map(async (lane, index) => {
          await pause((index / requests.lanes.length) * overMs)
          while (performance.now() < until) {
            const stream = await openStream(agent, requests.url, lane)
            await stream.done
            if (stream.tokens !== tokens || !stream.hasEnd)
              throw new Error(`${requests.url}: a stream ended after ${stream.tokens} of ${tokens} tokens.`)
            firsts.push(stream.firstAt - stream.sentAt)
          }
        })
      )
      return { streams: firsts.length, firstP50Ms: percentile(firsts, 0.5), firstP99Ms: percentile(firsts, 0.99) }
    }
  }
}

/** Resolves at the first token. @throws when the reply is no stream */
async function openStream(agent: Agent, url: string, lane: Lane | undefined): Promise<Stream> {
  const { headers, body } = lane ?? { headers: {}, body: '' }
  const sentAt = performance.now()
  const call = request(url, {
    method: 'POST',
    agent,
    headers: { ...headers, 'content-length': Buffer.byteLength(body) }
  })
  call.end(body)
  const [reply]: [IncomingMessage] = (await once(call, 'response')) as [IncomingMessage]
  const type = String(reply.headers['content-type'])
  if (reply.statusCode !== 200 || !type.startsWith('text/event-stream'))
    throw new Error(
      `${url}: ${reply.statusCode} ${type} ${Buffer.concat(await reply.toArray())
        .toString()
        .slice(0, 300)}`
    )
  const first = Promise.withResolvers<void>()
  const end = Promise.withResolvers<void>()
  const stream: Stream = {
    tokens: 0,
    hasEnd: false,
    sentAt,
    firstAt: 0,
    lastAt: 0,
    gaps: [],
    done: end.promise,
    destroy: () => call.destroy()
  }
  let rest: Buffer = Buffer.alloc(0)
  reply.on('data', (chunk: Buffer) => {
    rest = read(stream, rest.length === 0 ? chunk : Buffer.concat([rest, chunk]))
    if (stream.tokens > 0) first.resolve()
  })
  reply.on('error', () => end.resolve())
  reply.on('close', () => {
    first.resolve()
    end.resolve()
  })
  await first.promise
  return stream
}

/** Counts what is in the bytes; returns the bytes in which the next token may have begun. */
function read(stream: Stream, bytes: Buffer): Buffer {
  const now = performance.now()
  let from = 0
  for (let at = bytes.indexOf(TOKEN); at >= 0; at = bytes.indexOf(TOKEN, from)) {
    from = at + TOKEN.length
    if (stream.tokens === 0) stream.firstAt = now
    else stream.gaps.push(now - stream.lastAt)
    stream.lastAt = now
    stream.tokens += 1
  }
  stream.hasEnd ||= bytes.includes(END)
  return bytes.subarray(Math.max(from, bytes.length - TOKEN.length + 1))
}
