import { once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { open, type Wire } from '../prediction/tools.ts'
import { type GatewayProcess, startProcess } from '../server/gateway-process.ts'
import { findProgram } from '../servers/available.ts'
import { startServerProcess } from '../servers/server-process.ts'
import { registerServerTest } from '../servers/server-test.ts'
import { type StandIn, startStandIn } from '../stand-in/flowise.ts'

const CONFIG = join(import.meta.dirname, '../../deploy/load-balancer/haproxy.cfg')
const PASSWORD = 'the admin password'
const LOOK_MS = 20

export interface LoadBalancer {
  url: string
  /** A command of HAProxy's own administration. */
  administer(command: string): Promise<string>
  /** What it says of a gateway: `UP`, `DOWN`, `DRAIN` and such, and how many requests are open there. */
  server(name: string): Promise<{ status: string; open: number }>
  /** Resolves when the status of a gateway satisfies it. */
  becomes(name: string, status: RegExp): Promise<void>
}

export interface Installation extends LoadBalancer {
  standIn: StandIn
  gateways: Map<string, Member>
  token: string
  get(path: string): Promise<Response>
  post(path: string, body: unknown): Promise<Response>
  stream(question?: string): Wire
  /** The gateway that a running request is at. */
  busy(): Promise<Member>
}

export interface Member {
  name: string
  process: GatewayProcess
  /** Starts a gateway that has ended again, at the same address. */
  restart(): Promise<void>
}

/** Registers a subtest before HAProxy; without it skipped, or failed where REQUIRE_SERVERS=1 is set. */
export function withHaproxy(t: Test, title: string, run: (t: Test, program: string) => Promise<void>) {
  const program = findProgram('haproxy', process.env, ['/usr/sbin'])
  return registerServerTest(t, {
    title: `${title} (HAProxy)`,
    missing: program === undefined ? 'no HAProxy: apt-get install haproxy' : undefined,
    start: async () => program,
    run
  })
}

/** HAProxy with the file that is shipped, before servers on these ports; only addresses are replaced, and what `adapt` does. */
export async function startLoadBalancer(
  t: Test,
  program: string,
  ports: number[],
  adapt: (config: string) => string = (config) => config
): Promise<LoadBalancer> {
  const shipped = adapt(readFileSync(CONFIG, 'utf8'))
  let socket = ''
  const { port } = await startServerProcess(t, {
    name: 'haproxy',
    program,
    args(port, folder) {
      socket = join(folder, 'admin.sock')
      const config = shipped
        .replace('bind :8000', `bind 127.0.0.1:${port}`)
        .replace('ipv4@127.0.0.1:9999', socket)
        .replaceAll('abns@gateways', `abns@gateways-${port}`)
        .replace(/server gateway-(\d) \S+$/gm, (line, number) => {
          const port = ports[Number(number) - 1]
          return port === undefined ? `# ${line}` : `server gateway-${number} 127.0.0.1:${port}`
        })
      writeFileSync(join(folder, 'haproxy.cfg'), config)
      return ['-db', '-f', join(folder, 'haproxy.cfg')]
    },
    probe: async (port) => fetch(`http://127.0.0.1:${port}/health`)
  })

  async function administer(command: string): Promise<string> {
    const connection = connect(socket)
    await once(connection, 'connect')
    connection.end(`${command}\n`)
    return text(connection)
  }

  async function server(name: string) {
    const [heads = '', ...rows] = (await administer('show stat ready -1 -1')).split('\n')
    const columns = heads.replace('# ', '').split(',')
    const row = rows.map((line) => line.split(',')).find((cells) => cells[1] === name) ?? []
    const cell = (column: string) => row[columns.indexOf(column)] ?? ''
    return { status: cell('status'), open: Number(cell('scur')) }
  }

  return {
    url: `http://127.0.0.1:${port}`,
    administer,
    server,
    async becomes(name, status) {
      while (!status.test((await server(name)).status)) await wait(LOOK_MS)
    }
  }
}

/**
 * Three gateway processes behind the load balancer, with one Flowise behind them. Without MONGODB_URL each has a copy of
 * the same store, so that one login counts at all; what they write is then not shared.
 */
export async function startInstallation(
  t: Test,
  program: string,
  env: Record<string, string> = {},
  adapt?: (config: string) => string
): Promise<Installation> {
  const standIn = await startStandIn()
  const folder = mkdtempSync(join(tmpdir(), 'gateway-installation-'))
  t.teardown(async () => {
    await standIn.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const environment = {
    HOST: '127.0.0.1',
    PORT: '0',
    FLOWISE_API_URL: standIn.url,
    FLOWISE_API_KEY: 'key',
    ENABLE_CHATFLOW_SYNC: 'false',
    JWT_SECRET_KEY: 'only-for-tests-only-for-tests-only-for-tests',
    ADMIN_PASSWORD: PASSWORD,
    DEFAULT_CREDITS: '1000',
    TRUST_PROXY: '1',
    ...env
  }
  const token = await seed(t, { DATA_DIR: join(folder, 'seed'), ...environment })
  const members = await Promise.all(
    ['gateway-1', 'gateway-2', 'gateway-3'].map(async (name) => {
      const own = { DATA_DIR: join(folder, name), ...environment }
      if (!('MONGODB_URL' in env)) cpSync(join(folder, 'seed'), own.DATA_DIR, { recursive: true })
      let process = startProcess(t, own)
      const port = Number(new URL(await process.listening).port)
      const restart = async () => {
        process = startProcess(t, { ...own, PORT: String(port) })
        await process.listening
      }
      return {
        name,
        port,
        restart,
        get process() {
          return process
        }
      }
    })
  )
  const balancer = await startLoadBalancer(
    t,
    program,
    members.map(({ port }) => port),
    adapt
  )
  await Promise.all(members.map(({ name }) => balancer.becomes(name, /^UP/)))
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const path = '/api/v1/chat/predict/stream'
  return {
    ...balancer,
    standIn,
    token,
    gateways: new Map(members.map((member) => [member.name, member])),
    get: (path) => fetch(`${balancer.url}${path}`, { headers }),
    post: (path, body) => fetch(`${balancer.url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) }),
    stream: (question = 'hi') =>
      open(`${balancer.url}${path}`, { token, body: { chatflow_id: DEMO_IDS.echo, question } }),
    async busy() {
      for (const member of members) if ((await balancer.server(member.name)).open > 0) return member
      throw new Error('No gateway has a request')
    }
  }
}

/** Makes a store with an administrator and a catalogue; answers a token that is valid wherever the store is copied to. */
async function seed(t: Test, env: Record<string, string>): Promise<string> {
  const gateway = startProcess(t, env)
  const url = `${await gateway.listening}/api/v1`
  const post = (path: string, body: unknown, headers = {}) =>
    fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body)
    })
  const login = await post('/chat/authenticate', { username: 'admin', password: PASSWORD })
  const { access_token: token }: { access_token: string } = JSON.parse(await login.text())
  await post('/admin/chatflows/sync', {}, { authorization: `Bearer ${token}` })
  gateway.child.kill('SIGTERM')
  await gateway.exit
  return token
}
