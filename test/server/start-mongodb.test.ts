import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server } from 'node:net'
import { Long } from 'mongodb'
import t, { type Test } from 'tap'
import { withMongo } from '../servers/mongodb.ts'
import { type Answer, refusal, startForeignMongo } from './foreign-mongodb.ts'
import { environment, startProcess } from './gateway-process.ts'

const SECRET = 'never-shown'
const NOBODY = /^MONGODB_URL: no MongoDB answers there\. Check host, port, TLS and firewall/
// A dozen processes, each of which waits some seconds.
t.setTimeout(300_000)

async function portOf(t: Test, server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => void server.close())
  const address = server.address()
  return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
}

/** The process ends by itself, soon, with one sentence that names the variable, and neither address nor password. */
async function refused(t: Test, place: string, reason: RegExp): Promise<void> {
  const url = place.includes('://') ? place : `mongodb://user:${SECRET}@${place}`
  const startedAt = performance.now()
  const gateway = startProcess(t, environment(t, { MONGODB_URL: url, MONGODB_DATABASE_NAME: 'books' }))
  t.equal(await gateway.exit, 1, url)
  const seconds = (performance.now() - startedAt) / 1000
  t.ok(seconds < 15, `${seconds.toFixed(1)} s, the start of the process included`)
  t.match(gateway.stderr(), reason)
  t.equal(gateway.stderr().trim().split('\n').length, reason.source.startsWith('^') ? 1 : 2)
  const output = gateway.stderr() + gateway.stdout()
  t.notMatch(output, SECRET)
  t.notMatch(output, /127\.0\.0\.1|\.invalid|:\d{4,5}\b/)
}

t.test('a MongoDB that is none is told at the start', async (t) => {
  const http = await portOf(
    t,
    createHttpServer((_request, response) => response.end('hello'))
  )
  const silent = await portOf(
    t,
    createServer((socket) => socket.on('error', () => {}).resume())
  )
  const closing = await portOf(
    t,
    createServer((socket) => socket.on('error', () => {}).end())
  )
  await refused(t, '127.0.0.1:1', NOBODY)
  await refused(t, 'mongo.invalid', NOBODY)
  await refused(t, `mongodb+srv://user:${SECRET}@mongo.invalid`, NOBODY)
  await refused(t, http, NOBODY)
  await refused(t, closing, NOBODY)
  await refused(t, silent, NOBODY)
  await refused(t, `${silent}/?tls=true`, NOBODY)
})

t.test('a URL that cannot be right is told without a try', async (t) => {
  const unreadable = (why: string) => new RegExp(`^MONGODB_URL cannot be read: ${why}`)
  await refused(t, `http://user:${SECRET}@host`, /MONGODB_URL must start with mongodb:\/\/ or mongodb\+srv:\/\//)
  await refused(t, 'host:99999', unreadable('it is no MongoDB connection string'))
  await refused(t, 'host/?nonsense=1', unreadable('option nonsense is not supported'))
  await refused(t, `host/?maxPoolSize=${SECRET}`, unreadable('Expected maxPoolSize to be stringified int value'))
  await refused(t, 'host/?w=0', unreadable('w=0 leaves writes unanswered'))
  await refused(t, `mongodb://user:a?${SECRET}=1@host`, unreadable('characters like / and \\? in a password'))
  await refused(t, 'host/?tls=true&tlsCAFile=/nowhere', /^MONGODB_URL: a file that its options name cannot be read/)
  await refused(t, 'host/?minPoolSize=9&maxPoolSize=1', /^MONGODB_URL: its options contradict each other/)
})

t.test('a server that does not let the gateway in is told at the start', async (t) => {
  const denies = (command: string, code: number, codeName: string): Answer => {
    return (asked) => (asked === command ? refusal(code, codeName) : asked === 'hello' ? undefined : { ok: 1 })
  }
  const login = await startForeignMongo(t, denies('saslStart', 18, 'AuthenticationFailed'))
  await refused(t, login, /^MONGODB_URL: the server refuses this user or password\.$/m)
  const open = (place: string) => `mongodb://${place}`
  const rights = await startForeignMongo(t, denies('find', 13, 'Unauthorized'))
  await refused(
    t,
    open(rights),
    /^MONGODB_URL: this user may not read, write and make indexes in the database books\.$/m
  )
  const greeting = { ok: 1, isWritablePrimary: true, helloOk: true, minWireVersion: 0, maxWireVersion: 5 }
  const old = await startForeignMongo(t, () => greeting)
  await refused(t, open(old), /^MONGODB_URL: the server is too old for this gateway\.$/m)
  const locked = await startForeignMongo(t, denies('find', 96, 'OperationFailed'))
  await refused(t, open(locked), /^MONGODB_URL: the server refused: OperationFailed\.$/m)
})

t.test('a server that greets and falls silent is told at the start, wherever it does', async (t) => {
  const nothing = { ok: 1, cursor: { id: Long.ZERO, ns: 'books.meta', firstBatch: [] } }
  const login = await startForeignMongo(t, () => undefined)
  await refused(t, login, NOBODY)
  await refused(t, `mongodb://${login}`, NOBODY)
  let finds = 0
  const later = await startForeignMongo(t, (command) => (command === 'find' && finds++ === 0 ? nothing : undefined))
  await refused(t, `mongodb://${later}/?socketTimeoutMS=500`, /^MONGODB_URL: MongoDB ceased to answer during the start/)
  const reading = (command: string) => (command === 'find' ? nothing : undefined)
  const indexes = await startForeignMongo(t, reading)
  await refused(t, `mongodb://${indexes}/?socketTimeoutMS=500`, NOBODY)
  const rights = await startForeignMongo(
    t,
    (command) => reading(command) ?? (command === 'hello' ? undefined : refusal(13, 'Unauthorized'))
  )
  await refused(t, `mongodb://${rights}`, /^MONGODB_URL: this user may not read, write and make indexes/)
})

void withMongo(t, 'a gateway that finds MongoDB starts', async (t, { url, database }) => {
  const gateway = startProcess(t, environment(t, { MONGODB_URL: url, MONGODB_DATABASE_NAME: database }))
  const base = await gateway.listening
  t.match(await (await fetch(`${base}/ready`)).json(), { status: 'ready', checks: { store: 'ok' } })
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.exit, 0)
  t.equal(gateway.stderr(), '')
})
