import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { createVerifier } from 'fast-jwt'
import { isRecord, parseJson } from '../../src/flowise/json.ts'

/** How a request is to be answered. Without a status of its own, what would have been answered is answered. */
export interface AccountingFault {
  /** The connection is cut instead of an answer. */
  reset?: boolean
  status?: number
  headers?: Record<string, string>
  body?: string
  /** Whether the request is carried out all the same; default: only if it is answered as usual. */
  isDone?: boolean
  /** Names of gates: before it is carried out, and before it is answered. A client that left changes nothing. */
  gates?: { before?: string; answer?: string }
}

export interface AccountingRequest {
  method: string
  url: string
  headers: IncomingHttpHeaders
  body: unknown
  /** Claims of the bearer, if it was valid. */
  claims: Record<string, unknown> | undefined
}

/** Credits that were taken from a balance. */
export interface Deduction {
  userId: string
  credits: number
  /** Charge id: the Idempotency-Key. */
  key: string
  /** `sub` of whoever did it. */
  by: string
}

export interface AccountingService {
  readonly url: string
  /** Credits by user id. */
  readonly balances: Map<string, number>
  readonly deductions: Deduction[]
  /** Bodies of usage records. */
  readonly usage: unknown[]
  readonly requests: AccountingRequest[]
  /** The next request that matches `METHOD /path` is answered so. */
  next(fault: AccountingFault, on: RegExp): void
  /** Every request that matches, from now on; undefined: as usual again. */
  always(fault: ((request: AccountingRequest) => AccountingFault | undefined) | undefined): void
  /** Lets everything pass that waits at the gate or will come to it. */
  open(gate: string): void
  /** Resolves when something has come to the gate. */
  reached(gate: string): Promise<void>
  /** The first request that satisfies it, now or as soon as there is one. */
  waitFor(predicate: (request: AccountingRequest) => boolean): Promise<AccountingRequest>
  close(): Promise<void>
}

export interface AccountingServiceOptions {
  secret: string
  /** Whether a repeated Idempotency-Key is recognised, which no known service does. */
  isIdempotent?: boolean
}

interface Answer {
  status: number
  body: unknown
}

/**
 * Both forms of the accounting service: `/credits/{user_id}` of the older documents and `/api/credits/…` of the real one,
 * with its habit of emptying a balance that is too small. It takes HS256 bearers of the secret and records every deduction.
 */
export async function startAccountingService(options: AccountingServiceOptions): Promise<AccountingService> {
  const { secret, isIdempotent = false } = options
  const verify = createVerifier({ key: secret, algorithms: ['HS256'] })
  const balances = new Map<string, number>()
  const deductions: Deduction[] = []
  const usage: unknown[] = []
  const requests: AccountingRequest[] = []
  const once: { fault: AccountingFault; on: RegExp }[] = []
  const gates = new Map<string, { arrived: PromiseWithResolvers<void>; opened: PromiseWithResolvers<void> }>()
  const waiting = new Set<() => void>()
  const sockets = new Set<Socket>()
  let standing: ((request: AccountingRequest) => AccountingFault | undefined) | undefined

  const server = createServer((incoming, response) => {
    text(incoming)
      .then(async (body) => {
        const { method = '', url = '', headers } = incoming
        const request = { method, url, headers, body: parseJson(body), claims: claimsOf(headers.authorization) }
        requests.push(request)
        for (const wake of waiting) wake()
        waiting.clear()
        await play(request, faultFor(request) ?? {}, response)
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
    balances,
    deductions,
    usage,
    requests,
    next: (fault, on) => void once.push({ fault, on }),
    always(fault) {
      standing = fault
    },
    open: (gate) => gateOf(gate).opened.resolve(),
    reached: (gate) => gateOf(gate).arrived.promise,
    async waitFor(predicate) {
      for (;;) {
        const found = requests.find(predicate)
        if (found) return found
        await new Promise<void>((resolve) => void waiting.add(resolve))
      }
    },
    async close() {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()))
      for (const socket of sockets) socket.destroy()
      await closed
    }
  }

  async function play(request: AccountingRequest, fault: AccountingFault, response: ServerResponse): Promise<void> {
    const { reset, status, headers, body, gates: stops = {} } = fault
    await pass(stops.before)
    const isUsual = !reset && status === undefined && body === undefined
    const answer = (fault.isDone ?? isUsual) ? work(request) : { status: 500, body: {} }
    await pass(stops.answer)
    if (reset) return void response.socket?.destroy()
    response.writeHead(status ?? answer.status, { 'content-type': 'application/json', ...headers })
    response.end(body ?? JSON.stringify(answer.body))
  }

  /** What the service does and says when nothing is wrong with it. */
  function work({ method, url, headers, body, claims }: AccountingRequest): Answer {
    if (!claims) return { status: 401, body: { error: 'Invalid token' } }
    const said = isRecord(body) ? body : {}
    const sub = String(claims['sub'])
    const take = { key: String(headers['idempotency-key'] ?? ''), by: sub }
    const [, userId, action] = /^\/credits\/([^/]+)(\/deduct)?$/.exec(url) ?? []
    if (userId !== undefined) {
      const owner = decodeURIComponent(userId)
      const credits = balances.get(owner) ?? 0
      if (method === 'GET' && !action) return { status: 200, body: { credits, sufficient: credits > 0 } }
      return deduct(owner, Number(said['amount']), take) ? { status: 200, body: { success: true } } : insufficient(402)
    }
    const line = `${method} ${url}`
    if (line === 'GET /api/credits/total-balance')
      return { status: 200, body: { totalCredits: balances.get(sub) ?? 0 } }
    if (line === 'POST /api/credits/deduct') {
      const isDone = deduct(sub, Number(said['credits']), take)
      if (!isDone) takeAll(sub, take)
      const remainingBalance = balances.get(sub) ?? 0
      return isDone
        ? { status: 200, body: { success: true, message: 'Deducted', remainingBalance } }
        : insufficient(400)
    }
    if (line === 'DELETE /api/credits/remove') {
      if (claims['role'] !== 'admin') return { status: 403, body: { error: 'Forbidden' } }
      const isDone = deduct(String(said['userId']), Number(said['credits']), take)
      return isDone ? { status: 200, body: { message: 'Removed' } } : insufficient(400)
    }
    if (line === 'POST /api/usage/record') {
      usage.push(body)
      return { status: 201, body: {} }
    }
    return { status: 404, body: { error: 'Not found' } }
  }

  function deduct(userId: string, credits: number, { key, by }: { key: string; by: string }): boolean {
    if (isIdempotent && deductions.some((made) => made.key === key)) return true
    const left = (balances.get(userId) ?? 0) - credits
    if (left < 0) return false
    balances.set(userId, left)
    deductions.push({ userId, credits, key, by })
    return true
  }

  /** Its defect: what is there is gone before it says that it is not enough. */
  function takeAll(userId: string, { key, by }: { key: string; by: string }): void {
    const credits = balances.get(userId) ?? 0
    balances.set(userId, 0)
    if (credits > 0) deductions.push({ userId, credits, key, by })
  }

  function claimsOf(authorization: string | undefined): Record<string, unknown> | undefined {
    try {
      return verify(authorization?.replace(/^Bearer /, '') ?? '')
    } catch {
      return undefined
    }
  }

  function faultFor(request: AccountingRequest): AccountingFault | undefined {
    const index = once.findIndex(({ on }) => on.test(`${request.method} ${request.url}`))
    return index >= 0 ? once.splice(index, 1)[0]?.fault : standing?.(request)
  }

  function gateOf(name: string) {
    const known = gates.get(name) ?? { arrived: Promise.withResolvers<void>(), opened: Promise.withResolvers<void>() }
    gates.set(name, known)
    return known
  }

  async function pass(name: string | undefined): Promise<void> {
    if (name === undefined) return
    const { arrived, opened } = gateOf(name)
    arrived.resolve()
    await opened.promise
  }
}

function insufficient(status: number): Answer {
  return { status, body: { error: 'Insufficient credits' } }
}
