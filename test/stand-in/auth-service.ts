import { randomBytes } from 'node:crypto'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { createSigner, createVerifier } from 'fast-jwt'

export interface ServiceUser {
  id: string
  username: string
  email: string
  password: string
  role: string
  isVerified: boolean
}

/** How the next call is answered instead. */
export interface ServiceFault {
  status?: number
  headers?: Record<string, string>
  body?: string
  /** There is never an answer. */
  hang?: boolean
  /** The connection is cut before any answer. */
  reset?: boolean
  /** The service does its work, and the connection is cut instead of the answer. */
  lose?: boolean
  /** The call waits for the test before the service does its work. */
  until?: Promise<unknown>
}

export interface ServiceCall {
  method: string
  path: string
  headers: IncomingHttpHeaders
  body: Record<string, unknown>
}

export interface AuthStandIn {
  readonly url: string
  /** Every call, in the order of arrival. */
  readonly calls: ServiceCall[]
  /** The calls whose path ends with this. */
  callsTo(path: string): ServiceCall[]
  /** Resolves when there have been so many of them. */
  waitFor(path: string, count: number): Promise<void>
  add(user?: Partial<ServiceUser>): ServiceUser
  remove(id: string): void
  /** The tokens of a login that does not go through the gateway. */
  pair(user: ServiceUser): { accessToken: string; refreshToken: string }
  hasRefreshToken(token: string): boolean
  /** The next call whose path ends with this is answered so. */
  next(path: string, fault: ServiceFault): void
  /** As `next`, for all calls until it is called without a fault. */
  always(path: string, fault?: ServiceFault): void
  close(): Promise<void>
}

export const SERVICE_SECRET = 'shared-with-the-auth-service-for-tests'
const ACCESS_SECONDS = 900
const REFRESH_SECONDS = 604_800
const MODES = { access: ACCESS_SECONDS, refresh: REFRESH_SECONDS } as const

type Answer = [status: number, body: Record<string, unknown>]

/**
 * An external auth service for tests, by its wire contract: HS256 tokens without an id of their own, refresh tokens that
 * work once, errors as `{"error": "..."}`, and one limiter for all of `/api/auth`.
 */
export async function startAuthStandIn({ limit = 100 } = {}): Promise<AuthStandIn> {
  const users = new Map<string, ServiceUser>()
  const refreshTokens = new Map<string, string>()
  const calls: ServiceCall[] = []
  const once: [string, ServiceFault][] = []
  const standing = new Map<string, ServiceFault>()
  const waiting = new Set<() => void>()
  const sockets = new Set<Socket>()
  const sign = createSigner({ key: SERVICE_SECRET, algorithm: 'HS256' })
  const verify = createVerifier({ key: SERVICE_SECRET, algorithms: ['HS256'] })
  let counted = 0

  function token(user: Pick<ServiceUser, 'id' | 'username' | 'email' | 'role'>, type: keyof typeof MODES): string {
    const { id: sub, username, email, role } = user
    const iat = Math.floor(Date.now() / 1000)
    return sign({ sub, username, email, type, role, iat, exp: iat + MODES[type] })
  }

  function pair(user: Pick<ServiceUser, 'id' | 'username' | 'email' | 'role'>) {
    const tokens = { accessToken: token(user, 'access'), refreshToken: token(user, 'refresh') }
    refreshTokens.set(tokens.refreshToken, user.id)
    return tokens
  }

  function bearerOf({ headers }: ServiceCall): { sub: string; role: string } | undefined {
    try {
      return verify((headers.authorization ?? '').replace(/^Bearer /, ''))
    } catch {
      return undefined
    }
  }

  function login({ username, password }: Record<string, unknown>): Answer {
    if (typeof username !== 'string' || !username || !password)
      return [400, { error: 'Username and password are required' }]
    const user = [...users.values()].find((known) => [known.username, known.email].includes(username))
    if (!user || user.password !== password) return [401, { error: 'Invalid credentials' }]
    if (!user.isVerified) return [401, { error: 'Email not verified' }]
    const { id, email, isVerified, role } = user
    const shown = { id, username: user.username, email, isVerified, role }
    return [200, { message: 'Login successful', ...pair(user), user: shown }]
  }

  /** Copies what the old token says; the user is not looked at. */
  function refresh({ refreshToken }: Record<string, unknown>): Answer {
    if (typeof refreshToken !== 'string') return [400, { error: 'Refresh token is required' }]
    if (!refreshTokens.delete(refreshToken)) return [401, { error: 'Invalid or expired refresh token' }]
    const { sub: id, username, email, role } = verify(refreshToken)
    return [200, { message: 'Token refreshed successfully', ...pair({ id, username, email, role }) }]
  }

  function shown({ id: _id, username, email, isVerified, role }: ServiceUser): Answer {
    return [200, { user: { _id, username, email, isVerified, role, createdAt: '2026-01-01', updatedAt: '2026-01-01' } }]
  }

  function look(call: ServiceCall, name: string): Answer {
    const caller = bearerOf(call)
    if (!caller) return [401, { error: 'Invalid token' }]
    if (caller.role !== 'admin') return [403, { error: 'Admin access required' }]
    const user = users.get(name) ?? [...users.values()].find(({ email }) => email === name)
    return user ? shown(user) : [404, { error: 'User not found' }]
  }

  function answer(call: ServiceCall): Answer {
    const { path, body } = call
    if (path === '/api/auth/login') return login(body)
    if (path === '/api/auth/refresh') return refresh(body)
    if (path === '/api/auth/logout') {
      refreshTokens.delete(String(body.refreshToken))
      return [200, { message: 'Logout successful' }]
    }
    const [, name] = /^\/api\/admin\/users\/(?:by-email\/)?([^/]+)$/.exec(path) ?? []
    if (name !== undefined) return look(call, decodeURIComponent(name))
    const caller = bearerOf(call)
    if (!caller) return [401, { error: 'Invalid token' }]
    const user = users.get(caller.sub)
    if (path === '/api/profile') return user ? shown(user) : [404, { error: 'User not found' }]
    if (path !== '/api/auth/logout-all') return [404, { error: 'Not found' }]
    for (const [known, owner] of refreshTokens) if (owner === caller.sub) refreshTokens.delete(known)
    return [200, { message: 'Logged out from all devices' }]
  }

  function faultFor(path: string): ServiceFault | undefined {
    const index = once.findIndex(([end]) => path.endsWith(end))
    if (index >= 0) return once.splice(index, 1)[0]?.[1]
    return [...standing].find(([end]) => path.endsWith(end))?.[1]
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url: path = '', headers } = request
    const call: ServiceCall = { method, path, headers, body: parsed(await textOf(request)) }
    const fault = faultFor(path)
    calls.push(call)
    for (const look of waiting) look()
    await fault?.until
    if (fault?.hang) return
    if (fault?.reset) return void request.socket.destroy()
    if (fault?.status !== undefined || fault?.body !== undefined) {
      response.writeHead(fault.status ?? 200, { 'content-type': 'application/json', ...fault.headers })
      return void response.end(fault.body ?? '{"error":"secret-text-of-the-service"}')
    }
    const isCounted = path.startsWith('/api/auth/')
    if (isCounted && ++counted > limit) {
      response.writeHead(429, { 'content-type': 'application/json', 'ratelimit-reset': '840' })
      return void response.end('{"error":"Too many requests from this IP, please try again later"}')
    }
    const [status, body] = answer(call)
    if (fault?.lose) return void request.socket.destroy()
    response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(body))
  }

  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined))
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const callsTo = (path: string) => calls.filter((call) => call.path.endsWith(path))
  let count = 0

  return {
    url: `http://127.0.0.1:${port}`,
    calls,
    callsTo,
    waitFor: (path, wanted) =>
      new Promise((resolve) => {
        const look = () => {
          if (callsTo(path).length < wanted) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      }),
    add(given = {}) {
      const username = given.username ?? `person-${++count}`
      const id = randomBytes(12).toString('hex')
      const base = { id, email: `${username}@example.com`, password: 'a password', role: 'user', isVerified: true }
      const user: ServiceUser = { ...base, ...given, username }
      users.set(user.id, user)
      return user
    },
    remove: (id) => void users.delete(id),
    pair,
    hasRefreshToken: (known) => refreshTokens.has(known),
    next: (path, fault) => void once.push([path, fault]),
    always(path, fault) {
      if (fault) standing.set(path, fault)
      else standing.delete(path)
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      })
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

function parsed(text: string): Record<string, unknown> {
  return text === '' ? {} : JSON.parse(text)
}
