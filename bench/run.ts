import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { candidatesFor } from './candidates.ts'
import { install } from './gateway.ts'
import type { Generator } from './load/generator.ts'
import { describeMachine } from './machine.ts'
import { type BenchProcess, freePort, startProcess, whenListening } from './process.ts'
import { profile } from './profile.ts'
import { withResults } from './report.ts'
import { runRounds } from './rounds.ts'
import { jsonSuite } from './suites/json.ts'
import { memorySuite } from './suites/memory.ts'
import { streamSuite } from './suites/streams.ts'
import type { Suite } from './suites/suite.ts'
import { tableOf } from './table.ts'

const PAGE = join(import.meta.dirname, '../docs/benchmarks.md')
const suites: Record<string, Suite> = { json: jsonSuite, sse: streamSuite, memory: memorySuite }

const { values: options } = parseArgs({
  options: {
    /** Fewer and shorter rounds; docs/benchmarks.md stays as it is. */
    quick: { type: 'boolean', default: false },
    /** Comma list of suites; docs/benchmarks.md stays as it is. */
    only: { type: 'string', default: Object.keys(suites).join(',') },
    rounds: { type: 'string' },
    /** `json` or `sse`: where the gateway's time goes, instead of the comparison. */
    profile: { type: 'string' }
  }
})

if (options.profile === undefined) await run(options.quick, Number(options.rounds ?? (options.quick ? 2 : 5)))
else process.stdout.write(`${await profile({ isStream: options.profile === 'sse' })}\n`)

/** Everything is started here and nothing is left behind: processes, folders, ports. */
async function run(isQuick: boolean, rounds: number): Promise<void> {
  const chosen = options.only.split(',').map(suiteCalled)
  const folder = await mkdtemp(join(tmpdir(), 'gateway-bench-'))
  const port = await freePort()
  const upstream: BenchProcess = startProcess({ script: 'bench/upstream.ts', args: [String(port)], core: 'load' })
  const load = startProcess<Generator>({ script: 'bench/load/generator.ts', core: 'load' })
  try {
    await whenListening(upstream, port)
    const upstreamUrl = `http://127.0.0.1:${port}`
    const candidates = candidatesFor(upstreamUrl, await install(folder, upstreamUrl, isQuick ? 16 : 64))
    const bench = { ask: load.ask, askUpstream: upstream.ask, isQuick }
    const sections: string[] = [describeMachine(), `Rounds: ${rounds}.`]
    for (const suite of chosen) {
      const results = await runRounds(suite, candidates, bench, rounds)
      sections.push(`### ${suite.title}`, suite.text(isQuick), tableOf(suite, candidates, results))
    }
    const text = sections.join('\n\n')
    process.stdout.write(`${text}\n`)
    const isComplete = !isQuick && chosen.length === Object.keys(suites).length
    if (isComplete) await writeFile(PAGE, withResults(await readFile(PAGE, 'utf8'), text))
  } finally {
    await Promise.all([load.stop(), upstream.stop()])
    await rm(folder, { recursive: true, force: true })
  }
}

function suiteCalled(name: string): Suite {
  const suite = suites[name]
  if (!suite) throw new Error(`There is no suite ${name}: ${Object.keys(suites).join(', ')}.`)
  return suite
}
