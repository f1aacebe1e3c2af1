import { copyOf, type Installation, startGateway } from './gateway.ts'
import type { TripCounter } from './mongo/counting-proxy.ts'
import { type BenchProcess, freePort, startProcess, whenListening } from './process.ts'
import type { Probe } from './probe.ts'
import { findNginx, startNginx } from './rivals/nginx.ts'
import { findPortkey, startPortkey } from './rivals/portkey.ts'
import type { Ask } from './rpc.ts'
import type { Target } from './targets.ts'

/** A way from the client to Flowise. */
export interface Candidate {
  name: string
  /** In the tables. */
  title: string
  keepsSession?: boolean
  start(): Promise<Running>
}

export interface Running {
  target: Target
  /** Absent where there is no process in between. */
  ask?: Ask<Probe>
  /** From the start of the process to its first connection. */
  listeningMs?: number
  /** Absent where nobody counts. */
  trips?: TripCounter
  stop(): Promise<void>
}

/** What a gateway among the candidates has of its own. */
export interface GatewayCandidate extends Omit<Candidate, 'start'> {
  form: 'gateway' | 'flowise'
  installation: Installation
  /** By default those of the installation. */
  tokens?: readonly string[]
}

/** The real process on a copy of an installation, or on MongoDB where the installation is there. */
export function gatewayOn(upstreamUrl: string, wanted: GatewayCandidate): Candidate {
  const { form, installation, tokens = installation.tokens, ...rest } = wanted
  return {
    ...rest,
    async start() {
      const { mongo } = installation
      const dataDir = await copyOf(installation)
      const { url, ...started } = await startGateway({ upstreamUrl, dataDir, mongo })
      return { ...started, target: { url, form, tokens } }
    }
  }
}

/** The two ways to the gateway that every suite takes. */
export function gatewaysOn(upstreamUrl: string, installation: Installation): [Candidate, Candidate] {
  return [
    gatewayOn(upstreamUrl, { name: 'gateway', title: 'gateway, `/chat/predict`', form: 'gateway', installation }),
    gatewayOn(upstreamUrl, {
      name: 'flowise-path',
      title: "gateway, Flowise's own path",
      form: 'flowise',
      installation
    })
  ]
}

/** What the ratios are to. */
export const BASELINE = 'http-proxy'

/** The proxy that whoever has no gateway would write. */
export function httpProxy(upstreamUrl: string): Candidate {
  return scripted(upstreamUrl, 'http-proxy', 'bare @fastify/http-proxy')
}

/** A handler that asks with undici and hands on. */
export function undiciRequest(upstreamUrl: string): Candidate {
  return scripted(upstreamUrl, 'request', "undici's request in Fastify")
}

/** The same, one layer lower. */
export function undiciDispatch(upstreamUrl: string): Candidate {
  return scripted(upstreamUrl, 'dispatch', "undici's dispatch in Fastify")
}

/** No proxy at all. */
export function direct(upstreamUrl: string): Candidate {
  return {
    name: 'direct',
    title: 'direct, nothing in between',
    start: async () => ({ target: { url: upstreamUrl, form: 'flowise', tokens: [] }, stop: async () => {} })
  }
}

/** Programs that are not part of the project, where they are installed. */
export function strangers(at: { upstreamUrl: string; folder: string }, portkeyFolder: string | undefined): Candidate[] {
  const nginx = findNginx()
  const portkey = findPortkey(portkeyFolder)
  return [
    ...(nginx === undefined ? [] : [nginxCandidate(nginx, at)]),
    ...(portkey === undefined ? [] : [portkeyCandidate(portkey, at)])
  ]
}

function nginxCandidate(program: string, at: { upstreamUrl: string; folder: string }): Candidate {
  return {
    name: 'nginx',
    title: 'nginx as a proxy',
    async start() {
      const { url, ...started } = await startNginx(program, at)
      return { ...started, target: { url, form: 'flowise', tokens: [] } }
    }
  }
}

function portkeyCandidate(script: string, at: { upstreamUrl: string }): Candidate {
  return {
    name: 'portkey',
    title: "Portkey's gateway",
    async start() {
      const { url, headers, ...started } = await startPortkey(script, at)
      return { ...started, target: { url, form: 'openai', tokens: [], headers } }
    }
  }
}

function scripted(upstreamUrl: string, name: string, title: string): Candidate {
  return {
    name,
    title,
    async start() {
      const port = await freePort()
      const args = [upstreamUrl, String(port)]
      const started: BenchProcess = startProcess({ script: `bench/rivals/${name}.ts`, args, core: 'measured' })
      const listeningMs = await whenListening(started, port)
      await started.ask('keepCompiled')
      return { ...started, listeningMs, target: { url: `http://127.0.0.1:${port}`, form: 'flowise', tokens: [] } }
    }
  }
}
