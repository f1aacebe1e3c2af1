import { parseArgs } from 'node:util'
import t, { type Test } from 'tap'
import { runChaos } from './chaos.ts'
import { expectNoFindings } from './expect.ts'
import { type Servers, withServers } from './servers.ts'
import { growthPerHour, type Sample, soak } from './soak.ts'

// The long form: `npm run chaos -- [--seed 1] [--users 200] [--seconds 60] [--storms 2] [--halt 0] [--rate 3]`, and
// `npm run chaos -- --soak [--minutes 30] [--store sqlite|mongodb]`.

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    users: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '60' },
    storms: { type: 'string', default: '2' },
    // 75 is more than the lease of a hold: when the process goes on, others have ended its runs. 0: none is halted.
    halt: { type: 'string', default: '0' },
    // Questions per second of all users together; above what the store can take, users mostly see that it is busy.
    rate: { type: 'string', default: '3' },
    soak: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '30' },
    store: { type: 'string', default: 'sqlite' }
  }
})
const seed = Number(values.seed)
const stormMs = Number(values.seconds) * 1000
const soakMs = Number(values.minutes) * 60_000
const haltMs = Number(values.halt) * 1000
const CALM_MS = 20_000
const MARGIN_MS = 1_500_000
/** A heap that grows by more per hour than this is a leak. */
const GROWTH_MIB = 6
const GROWTH_HANDLES = 20

t.setTimeout(Number(values.storms) * (stormMs + haltMs + CALM_MS) + soakMs + MARGIN_MS)

function showSample(t: Test, sample: Sample): void {
  const { minutes, heapMib, residentMib, handles, resources, running, answers } = sample
  t.comment(
    `${minutes.toFixed(1)} min: heap ${heapMib.toFixed(1)} MiB, resident ${residentMib.toFixed(0)} MiB, ` +
      `${handles} handles, ${resources} resources, ${running} running, ${answers} answers`
  )
}

async function soakTest(t: Test, servers?: Servers): Promise<void> {
  const options = { seed, users: 40, thinkMs: 1_000, ms: soakMs, everyMs: Math.min(30_000, soakMs / 20) }
  const samples = await soak(t, {
    ...options,
    onSample: (sample) => showSample(t, sample),
    ...(servers ? { servers } : {})
  })
  const [first, last] = [samples[0], samples.at(-1)]
  if (first && last) for (const sample of [first, last]) showSample(t, sample)
  const heap = growthPerHour(samples, ({ heapMib }) => heapMib)
  const handles = growthPerHour(samples, (sample) => sample.handles)
  t.ok(heap < GROWTH_MIB, `the heap grows by ${heap.toFixed(2)} MiB per hour in the second half`)
  t.ok(handles < GROWTH_HANDLES, `the handles grow by ${handles.toFixed(1)} per hour in the second half`)
}

async function chaosTest(t: Test, servers: Servers): Promise<void> {
  const storms = Number(values.storms)
  const outages = Math.max(1, Math.round(stormMs / 15_000))
  const users = Number(values.users)
  const thinkMs = (users * 1000) / Number(values.rate)
  const options = { seed, users, thinkMs, stormMs, outages, storms, calmMs: CALM_MS }
  expectNoFindings(t, await runChaos(t, servers, haltMs > 0 ? { ...options, haltMs } : options))
}

if (!values.soak) void withServers(t, 'three gateways that are killed again and again keep the same books', chaosTest)
else if (values.store === 'mongodb') void withServers(t, 'a gateway that works for long does not grow', soakTest)
else void t.test('a gateway that works for long does not grow (SQLite)', (t) => soakTest(t))
