import { setTimeout as wait } from 'node:timers/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { CHATFLOW_ID, startInstallation } from './installation.ts'
import { createJournal } from './journal.ts'
import { createRandom } from './random.ts'
import type { Servers } from './servers.ts'
import { actAsUser } from './users.ts'

export interface SoakOptions {
  seed: number
  users: number
  thinkMs: number
  ms: number
  everyMs: number
  /** Without, the embedded store. */
  servers?: Servers
  /** Told of each sample as it is taken. */
  onSample: (sample: Sample) => void
}

/** What the process occupies right after a garbage collection. */
export interface Sample {
  minutes: number
  heapMib: number
  residentMib: number
  handles: number
  resources: number
  running: number
  /** Answered by now. */
  answers: number
}

const MIB = 1024 * 1024
const COLLECTION_MS = 1_000

/** Users ask one gateway, a tenth of them leaves in mid-stream; what the process occupies is sampled. */
export async function soak(t: Test, options: SoakOptions): Promise<Sample[]> {
  const { seed, users, thinkMs, ms, everyMs, servers = {}, onSample } = options
  const installation = await startInstallation(t, {
    gateways: 1,
    users,
    ...servers,
    env: { DEFAULT_CREDITS: '1000000', RATE_LIMIT_PER_MINUTE: '0' },
    execArgv: ['--expose-gc', '--import', join(import.meta.dirname, 'collect-garbage.ts')]
  })
  const journal = createJournal()
  const random = createRandom(seed)
  const startedAt = Date.now()
  const over = startedAt + ms
  const [gateway] = installation.gateways
  if (!gateway) throw new Error('There is no gateway')
  const clients = installation.users.map((user, number) =>
    actAsUser({
      user,
      number,
      chatflowId: CHATFLOW_ID,
      send: installation.send,
      random: random.fork(user.id),
      journal,
      thinkMs,
      isOver: () => Date.now() >= over,
      over: AbortSignal.timeout(ms),
      giveUpAt: () => over
    })
  )
  const samples: Sample[] = []
  while (Date.now() < over) {
    await wait(Math.min(everyMs, Math.max(0, over - Date.now())))
    if (gateway.pid === undefined || installation.losses.starts > 1) throw new Error('The gateway has ended')
    process.kill(gateway.pid, 'SIGWINCH')
    await wait(COLLECTION_MS)
    const text = await (await fetch(`${gateway.url}/metrics`)).text()
    const answers = journal.counts.get('predictions: answered') ?? 0
    const sample = { ...sampleOf(text), minutes: (Date.now() - startedAt) / 60_000, answers }
    samples.push(sample)
    onSample(sample)
  }
  await Promise.all(clients)
  return samples
}

/** Least squares over the second half, by when everything that fills up has filled up; per hour. */
export function growthPerHour(samples: Sample[], of: (sample: Sample) => number): number {
  const late = samples.slice(Math.floor(samples.length / 2))
  const mean = (value: (sample: Sample) => number) => late.reduce((sum, sample) => sum + value(sample), 0) / late.length
  const [x, y] = [mean(({ minutes }) => minutes), mean(of)]
  const spread = late.reduce((sum, { minutes }) => sum + (minutes - x) ** 2, 0)
  return spread === 0 ? 0 : (late.reduce((sum, s) => sum + (s.minutes - x) * (of(s) - y), 0) / spread) * 60
}

function sampleOf(metrics: string): Omit<Sample, 'minutes' | 'answers'> {
  const value = (name: string) => {
    const lines = metrics.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))
    return [...lines].reduce((sum, [, number]) => sum + Number(number), 0)
  }
  return {
    heapMib: value('nodejs_heap_size_used_bytes') / MIB,
    residentMib: value('process_resident_memory_bytes') / MIB,
    handles: value('nodejs_active_handles_total'),
    resources: value('nodejs_active_resources_total'),
    running: value('gateway_predictions_running')
  }
}
