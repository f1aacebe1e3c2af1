import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { flows } from './flows.ts'
import { install, startGateway } from './gateway.ts'
import type { Generator } from './load/generator.ts'
import { type BenchProcess, freePort, startProcess, whenListening } from './process.ts'
import { type CpuProfile, inclusiveCosts, selfCosts } from './profile-costs.ts'
import { requestsFor, type Target } from './targets.ts'

const CONNECTIONS = 64
const WARM = 4000
const STREAM_SECONDS = 8

const { values: options } = parseArgs({
  options: {
    /** Streams instead of answers in one piece. */
    streams: { type: 'boolean', default: false },
    amount: { type: 'string', default: '20000' }
  }
})

await profile(options.streams, Number(options.amount))

/** Where the main thread of the gateway spends its time under load, function by function. */
async function profile(isStream: boolean, amount: number): Promise<void> {
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
    else await answer(load, target, amount + WARM)
    await stop()
    print(await readProfile(folder))
  } finally {
    await Promise.all([load.stop(), upstream.stop()])
    await rm(folder, { recursive: true, force: true })
  }
}

async function answer(load: BenchProcess<Generator>, target: Target, amount: number): Promise<void> {
  const requests = requestsFor(target, { flow: 'answer', isStream: false, connections: CONNECTIONS })
  await load.ask('saturate', { requests, amount })
}

async function stream(load: BenchProcess<Generator>, target: Target): Promise<void> {
  const requests = requestsFor(target, { flow: 'short', isStream: true, connections: CONNECTIONS })
  await load.ask('loop', { requests, seconds: STREAM_SECONDS, tokens: flows.short.tokens })
}

/** The largest one: the thread of the password hashes writes a profile of its own. */
async function readProfile(folder: string): Promise<CpuProfile> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.cpuprofile'))
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))
  const largest = texts.toSorted((a, b) => b.length - a.length)[0]
  if (largest === undefined) throw new Error('The gateway left no profile.')
  return JSON.parse(largest)
}

function print(read: CpuProfile): void {
  const lines = (costs: { where: string; share: number }[]) =>
    costs.map(({ where, share }) => `${(share * 100).toFixed(1).padStart(6)} %  ${where}`).join('\n')
  process.stdout.write(`By itself\n${lines(selfCosts(read).slice(0, 40))}\n\n`)
  process.stdout.write(`With all it calls, our own functions\n${lines(inclusiveCosts(read).slice(0, 50))}\n`)
}
