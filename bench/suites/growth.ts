import { setTimeout as pause } from 'node:timers/promises'
import { type Candidate, gatewayOn, type Running } from '../candidates.ts'
import { type Rounds, valuesOf } from '../comparison.ts'
import { describe, makePlaces, type Place } from '../growth/places.ts'
import { type Point, plotOf } from '../growth/plot.ts'
import type { Size } from '../growth/rows.ts'
import { requestsFor } from '../targets.ts'
import { AFTER_MS, CONNECTIONS } from './answers.ts'
import { type Bench, cpuDuring, type Suite } from './suite.ts'

const amountOf = (isQuick: boolean): number => (isQuick ? 2000 : 4000)
const sizeOf = (isQuick: boolean): Size => {
  const part = isQuick ? 100 : 1
  return { accounts: 100_000 / part, rows: 1_000_000 / part, grants: 10_000 / part }
}
/** The candidates in which everything grows together. */
const STEPS = ['small', 'hundredth', 'tenth', 'everything']
const goal = { metric: 'cpu', to: 'small', atLeast: 0.9, atMost: 1.1, digits: 2 } as const

/** Whether a prediction costs more where there is more of everything. */
export const growthSuite: Suite = {
  title: 'Growth',
  text: (isQuick) =>
    `${amountOf(isQuick)} predictions on \`/chat/predict\` per round over ${CONNECTIONS} connections, as fast as they are answered, all by one user, on installations of different sizes. The rows ` +
    'were written before, by the store; one in a hundred ledger entries and messages is of the user who asks. In the last row every request is of another user, in random order: what ' +
    'is remembered of a user between two requests then helps little.',
  metrics: [
    { key: 'cpu', title: 'CPU, µs per prediction', digits: 1, ratioTo: 'small' },
    { key: 'rate', title: 'requests/s', digits: 0, ratioTo: 'small' }
  ],
  goals: [
    { what: 'CPU of a prediction with 100,000 accounts, of that with one', of: 'accounts', ...goal },
    { what: 'with 1,000,000 ledger entries and messages', of: 'rows', ...goal },
    { what: 'with 10,000 grants of the chatflow', of: 'grants', ...goal },
    { what: 'with all of that', of: 'everything', ...goal }
  ],
  isFresh: false,

  async candidates(setup) {
    const { small, accounts, rows, grants, steps, crowdTokens } = await makePlaces(setup, sizeOf(setup.isQuick))
    const on = ({ installation, size }: Place, name: string, tokens?: string[]): Candidate => {
      const title = tokens ? `the same, ${tokens.length.toLocaleString('en')} users take turns` : describe(size)
      return gatewayOn(setup.upstreamUrl, { name, title, form: 'gateway', installation, ...(tokens ? { tokens } : {}) })
    }
    const named = [small, ...steps].map((place, step) => on(place, STEPS[step] ?? ''))
    const single = [on(accounts, 'accounts'), on(rows, 'rows'), on(grants, 'grants')]
    const largest = steps.at(-1) ?? small
    return [...named.slice(0, 1), ...single, ...named.slice(1), on(largest, 'crowd', crowdTokens)]
  },

  async warmUp(bench, running, candidate) {
    await ask(bench, running, candidate)
  },

  async measure(bench, running, candidate) {
    let seconds = 0
    const cpu = await cpuDuring(running, async () => {
      seconds = await ask(bench, running, candidate)
      await pause(AFTER_MS)
    })
    const amount = amountOf(bench.isQuick)
    return { cpu: (cpu ?? 0) / amount, rate: amount / seconds }
  },

  picture: (rounds) => ({
    file: 'benchmarks-growth.svg',
    text: 'CPU per prediction by the size of the installation',
    svg: plotOf(pointsOf(rounds))
  })
}

async function ask({ ask: askLoad, isQuick }: Bench, { target }: Running, { name }: Candidate): Promise<number> {
  const takesTurns = name === 'crowd'
  const tokens = takesTurns ? shuffled(target.tokens) : target.tokens
  const wanted = { flow: 'answer', isStream: false, connections: CONNECTIONS, takesTurns } as const
  const requests = requestsFor({ ...target, tokens }, wanted)
  const { seconds } = await askLoad('saturate', { requests, amount: amountOf(isQuick) })
  return seconds
}

function pointsOf(rounds: Rounds): Point[] {
  const { rows } = sizeOf(false)
  const sizes = [1, rows / 100, rows / 10, rows]
  return STEPS.map((name, step) => ({ x: sizes[step] ?? 1, values: valuesOf(rounds, name, 'cpu') }))
}

function shuffled(tokens: readonly string[]): string[] {
  return tokens
    .map((token) => ({ token, place: Math.random() }))
    .toSorted((a, b) => a.place - b.place)
    .map(({ token }) => token)
}
