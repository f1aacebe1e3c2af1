import { copyOf, type Installation, startGateway } from './gateway.ts'
import type { BenchProcess } from './process.ts'
import { freePort, startProcess, whenListening } from './process.ts'
import type { Probe } from './probe.ts'
import type { Ask } from './rpc.ts'
import type { Form, Target } from './targets.ts'

export type CandidateName = 'gateway' | 'gateway-continued' | 'gateway-flowise' | 'http-proxy' | 'undici' | 'direct'

/** What the ratios are to. */
export const BASELINE: CandidateName = 'http-proxy'

/** A way from the client to Flowise. */
export interface Candidate {
  name: CandidateName
  /** In the tables. */
  title: string
  keepsSession?: boolean
  start(): Promise<Running>
}

export interface Running {
  target: Target
  /** Absent where there is no process in between. */
  ask?: Ask<Probe>
  stop(): Promise<void>
}

/** All of them, in the order of the tables. */
export function candidatesFor(upstreamUrl: string, installation: Installation): Candidate[] {
  const gateway = (form: Form) => async (): Promise<Running> => {
    const { url, ask, stop } = await startGateway({ upstreamUrl, dataDir: await copyOf(installation) })
    return { target: { url, form, tokens: installation.tokens }, ask, stop }
  }
  const rival = (script: string) => async (): Promise<Running> => {
    const port = await freePort()
    const process: BenchProcess = startProcess({ script, args: [upstreamUrl, String(port)], core: 'measured' })
    await whenListening(process, port)
    const { ask, stop } = process
    return { target: { url: `http://127.0.0.1:${port}`, form: 'flowise', tokens: [] }, ask, stop }
  }
  return [
    { name: 'gateway', title: 'gateway, `/chat/predict`', start: gateway('gateway') },
    { name: 'gateway-continued', title: 'the same, sessions continued', keepsSession: true, start: gateway('gateway') },
    { name: 'gateway-flowise', title: "gateway, Flowise's own path", start: gateway('flowise') },
    { name: 'http-proxy', title: 'bare @fastify/http-proxy', start: rival('bench/rivals/http-proxy.ts') },
    { name: 'undici', title: 'bare undici in Fastify', start: rival('bench/rivals/undici.ts') },
    {
      name: 'direct',
      title: 'direct, nothing in between',
      start: async () => ({ target: { url: upstreamUrl, form: 'flowise', tokens: [] }, stop: async () => {} })
    }
  ]
}
