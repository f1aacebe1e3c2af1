import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { flows } from './flows.ts'
import { install, startGateway } from './gateway.ts'
import type { Generator } from './load/generator.ts'
import { type BenchProcess, freePort, startProcess, whenListening } from './process.ts'
import { type Cost, type CpuProfile, inclusiveCosts, selfCosts } from './profile-costs.ts'
import { requestsFor, type Target } from './targets.ts'

const CONNECTIONS = 64
const AMOUNT = 24_000
const STREAM_SECONDS = 8
const SHOWN = 40

/** Where the main thread of the gateway spends its time under load, function by function; waiting for the disk counts. */
export async function profile({ isStream }: { isStream: boolean }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'gateway-profile-'))
  const port = await freePort()
  const upstream: BenchProcess = startProcess({ script: 'bench/upstream.ts', args: [String(port)], core: 'load' })
  const load = startProcess<Generator>({ script: 'bench/load/generator.ts', core: 'load' })
  try {
    await whenListening(upstream, port)
    const upstreamUrl = `http://127.0.0.1:${port}`
    const { dataDir, tokens } = await install(folder, upstreamUrl, 16)
    const execArgv = ['--cpu-prof', '--cpu-prof-dir', folder, '--cpu-prof-interval', '500']
    const { url, stop } = await startGateway({ upstreamUrl, dataDir, execArgv })
    const target: Target = { url, form: 'gateway', tokens }
    if (isStream) await stream(load, target)
    else await answer(load, target)
    await stop()
    return textOf(await readProfile(folder))
  } finally {
    await Promise.all([load.stop(), upstream.stop()])
    await rm(folder, { recursive: true, force: true })
  }
}

async function answer(load: BenchProcess<Generator>, target: Target): Promise<void> {
  const requests = requestsFor(target, { flow: 'answer', isStream: false, connections: CONNECTIONS })
  await load.ask('saturate', { requests, amount: AMOUNT })
}

async function stream(load: BenchProcess<Generator>, target: Target): Promise<void> {
  const requests = requestsFor(target, { flow: 'short', isStream: true, connections: CONNECTIONS })
  await load.ask('loop', { requests, seconds: STREAM_SECONDS, overMs: 200, tokens: flows.short.tokens })
}

/** The largest one: the thread of the password hashes writes a profile of its own. */
async function readProfile(folder: string): Promise<CpuProfile> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.cpuprofile'))
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))
  const largest = texts.toSorted((a, b) => b.length - a.length)[0]
  if (largest === undefined) throw new Error('The gateway left no profile.')
  return JSON.parse(largest)
}

function textOf(read: CpuProfile): string {
  const lines = (costs: Cost[]) =>
    costs.slice(0, SHOWN).map(({ where, share }) => `${(share * 100).toFixed(1).padStart(6)} %  ${where}`)
  return ['By itself', ...lines(selfCosts(read)), '', 'With all it calls', ...lines(inclusiveCosts(read))].join('\n')
}
