import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Chapter, commands } from './chapters.ts'
import type { Rounds } from './comparison.ts'
import { type Goal, goalTable } from './goals.ts'
import { describeMachine, describeNeighbours } from './machine.ts'
import { profile } from './profile.ts'
import { withSection } from './report.ts'
import { runRounds } from './rounds.ts'
import { type Setup, withSetup } from './setup.ts'
import type { Picture, Suite } from './suites/suite.ts'
import { tableOf } from './table.ts'

const DOCS = join(import.meta.dirname, '../docs')
const PAGE = join(DOCS, 'benchmarks.md')

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /** Fewer and shorter rounds; docs/benchmarks.md stays as it is. */
    quick: { type: 'boolean', default: false },
    /** Comma list of suites; docs/benchmarks.md stays as it is. */
    only: { type: 'string' },
    rounds: { type: 'string' },
    /** A folder in which npm has installed @portkey-ai/gateway; docs/benchmarks.md then tells of it, too. */
    portkey: { type: 'string' },
    /** `json` or `sse`: where the gateway's time goes, instead of the comparison. */
    profile: { type: 'string' }
  }
})
const startedAt = performance.now()
const neighbours = describeNeighbours()

if (options.profile === undefined) await run(positionals[0] ?? 'json')
else process.stdout.write(`${await profile({ isStream: options.profile === 'sse' })}\n`)

interface Section {
  chapter: Chapter
  text: string
  pictures: Picture[]
}

async function run(command: string): Promise<void> {
  const chapters = commands[command]
  if (!chapters) throw new Error(`There is no command ${command}: ${Object.keys(commands).join(', ')}.`)
  const { quick: isQuick, portkey } = options
  const chosen = chapters.map(chosenOf).filter(({ suites }) => Object.keys(suites).length > 0)
  const rounds = Number(options.rounds ?? (isQuick ? 2 : 5))
  const isComplete = !isQuick && options.only === undefined
  await withSetup({ isQuick, portkey, say }, async (setup) => {
    for (const chapter of chosen) {
      const section = await measure(chapter, setup, rounds)
      process.stdout.write(`${section.text}\n\n`)
      if (isComplete) await keep(section)
    }
  })
  say('Done')
}

async function measure(chapter: Chapter, setup: Setup, rounds: number): Promise<Section> {
  const measured: { goals: readonly Goal[]; rounds: Rounds }[] = []
  const tables: string[] = []
  const pictures: Picture[] = []
  for (const suite of Object.values(chapter.suites)) {
    const candidates = await suite.candidates(setup)
    if (candidates.length === 0) return { chapter, text: chapter.without, pictures }
    const results = await runRounds(suite, candidates, { bench: setup.bench, rounds, say })
    measured.push({ goals: suite.goals, rounds: results })
    tables.push(`### ${suite.title}`, suite.text(setup.isQuick), tableOf(suite.metrics, candidates, results))
    const picture = suite.picture?.(results)
    if (picture) pictures.push(picture)
    if (picture) tables.push(`![${picture.text}](${picture.file})`)
  }
  const date = new Date().toISOString().slice(0, 10)
  const head = `${date}, ${rounds} ${rounds === 1 ? 'round' : 'rounds'}. ${describeMachine()} ${neighbours}`
  return { chapter, text: [head, goalTable(measured), ...tables].join('\n\n'), pictures }
}

async function keep({ chapter, text, pictures }: Section): Promise<void> {
  await writeFile(PAGE, withSection(await readFile(PAGE, 'utf8'), chapter.name, text))
  for (const { file, svg } of pictures) await writeFile(join(DOCS, file), svg)
}

function chosenOf(chapter: Chapter): Chapter {
  const names = options.only?.split(',')
  const known = Object.values(commands).flatMap((all) => all.flatMap(({ suites }) => Object.keys(suites)))
  const unknown = names?.find((name) => !known.includes(name))
  if (unknown !== undefined) throw new Error(`There is no suite ${unknown}: ${known.join(', ')}.`)
  const isChosen = ([name]: [string, Suite]): boolean => names?.includes(name) ?? true
  return { ...chapter, suites: Object.fromEntries(Object.entries(chapter.suites).filter(isChosen)) }
}

function say(line: string): void {
  const seconds = Math.round((performance.now() - startedAt) / 1000)
  process.stderr.write(`${String(seconds).padStart(5)} s  ${line}\n`)
}
