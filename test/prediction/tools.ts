import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import type { Test } from 'tap'
import { verifyLedger } from '../../src/credits/verify.ts'
import type { AccountRow, LedgerEntryRow, MessageRow, RequestRow, SessionRow } from '../../src/store/collections.ts'
import type { Document } from '../../src/store/port.ts'
import type { TestApp } from '../helper.ts'

export interface Event {
  id: string | undefined
  event: string
  /** The object of the data line. */
  data: { event: string; data: unknown; [member: string]: unknown }
}

/** A request over a socket of its own, read as it arrives. */
export interface Wire {
  request: ClientRequest
  /** Resolves with the head. */
  head: Promise<{ status: number; headers: IncomingHttpHeaders }>
  /** What has arrived so far. */
  text(): string
  /** Resolves when what has arrived satisfies it; rejects when the reply ends before. */
  until(pattern: RegExp): Promise<string>
  /** Resolves with the whole body. */
  ended: Promise<string>
  /** Closes the connection, or never reads again. */
  leave(): void
  pause(): void
  resume(): void
}

export interface WireOptions {
  /** Default POST. */
  method?: 'GET' | 'POST'
  token?: string
  /** Of a POST. */
  body?: unknown
  headers?: Record<string, string>
  /** Does not read the body until `resume`. */
  isPaused?: boolean
}

/** Sends a request and reads the reply piece by piece. */
export function open(url: string, { method = 'POST', token, body, headers = {}, isPaused = false }: WireOptions): Wire {
  const head = Promise.withResolvers<{ status: number; headers: IncomingHttpHeaders }>()
  const ended = Promise.withResolvers<string>()
  const waiting = new Set<() => void>()
  const chunks: Buffer[] = []
  let response: IncomingMessage | undefined
  let isOver = false
  const payload = Buffer.isBuffer(body) || typeof body === 'string' ? body : JSON.stringify(body ?? {})
  const text = () => Buffer.concat(chunks).toString()
  const changed = () => {
    for (const wake of waiting) wake()
    waiting.clear()
  }
  const sent = request(url, {
    method,
    agent: false,
    headers: {
      ...(method === 'POST' ? { 'content-type': 'application/json' } : {}),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers
    }
  })
  const end = (error?: Error) => {
    isOver = true
    changed()
    if (error) {
      head.reject(error)
      ended.reject(error)
    } else ended.resolve(text())
  }
  head.promise.catch(() => {})
  ended.promise.catch(() => {})
  sent.on('error', end)
  sent.on('response', (reply) => {
    response = reply
    head.resolve({ status: reply.statusCode ?? 0, headers: reply.headers })
    reply.on('error', end)
    reply.on('end', () => end())
    if (isPaused) return
    reply.on('data', take)
  })
  function take(chunk: Buffer): void {
    chunks.push(chunk)
    changed()
  }
  sent.end(method === 'POST' ? payload : undefined)
  return {
    request: sent,
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
    leave: () => void sent.destroy(),
    pause: () => void response?.pause(),
    resume: () => {
      if (response && response.listenerCount('data') === 0) response.on('data', take)
      response?.resume()
    }
  }
}

/** The events of a whole stream; comments and blank lines tell nothing. */
export function eventsOf(text: string): Event[] {
  const events: Event[] = []
  let id: string | undefined
  let event = ''
  for (const line of text.split('\n')) {
    if (line.startsWith('id: ')) id = line.slice(4)
    else if (line.startsWith('event: ')) event = line.slice(7)
    else if (line.startsWith('data:')) {
      const data = JSON.parse(line.slice(5))
      events.push({ id, event: event === '' ? data.event : event, data })
      id = undefined
      event = ''
    }
  }
  return events
}

/** The tokens of a stream, joined. */
export function textOf(text: string): string {
  return eventsOf(text)
    .filter(({ event }) => event === 'token')
    .map(({ data }) => String(data.data))
    .join('')
}

/** What is stored, read past the API. */
export function stored({ app }: Pick<TestApp, 'app'>) {
  async function all<T extends Document>(name: string): Promise<T[]> {
    const rows: T[] = []
    for (;;) {
      const last = rows.at(-1)
      const page = await app.store
        .collection<T>(name)
        .list({ limit: 1000, ...(last ? { after: { value: null, id: last.id } } : {}) })
      rows.push(...page)
      if (page.length < 1000) return rows
    }
  }
  return {
    sessions: () => all<SessionRow>('sessions'),
    messages: async (sessionId?: string) => {
      const rows = await all<MessageRow>('messages')
      return rows
        .filter((row) => sessionId === undefined || row.sessionId === sessionId)
        .toSorted((a, b) => a.position - b.position)
    },
    requests: () => all<RequestRow>('requests'),
    account: (id: string) => app.store.collection<AccountRow>('accounts').get(id),
    entries: async (accountId?: string) => {
      const rows = await all<LedgerEntryRow>('ledger_entries')
      return rows.filter((row) => accountId === undefined || row.accountId === accountId)
    },
    charges: async (accountId: string) => {
      const rows = await all<LedgerEntryRow>('ledger_entries')
      return rows.filter((row) => row.accountId === accountId && row.kind === 'charge').map(({ delta }) => -delta)
    },
    problems: async () => (await verifyLedger(app.store)).problems
  }
}

/** Waits until nothing runs in the gateway any more. */
export async function idle({ app }: Pick<TestApp, 'app'>): Promise<void> {
  await Promise.all([...app.exchanges.values()].map(({ concluded }) => concluded))
}

/** The ledger adds up and holds nothing. */
export async function settled(t: Test, gateway: Pick<TestApp, 'app'>, accountId: string): Promise<void> {
  await idle(gateway)
  const account = await stored(gateway).account(accountId)
  t.equal(account?.held ?? 0, 0, 'nothing is held')
  t.same(await stored(gateway).problems(), [], 'the ledger adds up')
}
