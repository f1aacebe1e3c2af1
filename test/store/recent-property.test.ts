import * as fc from 'fast-check'
import t from 'tap'
import type { BusState } from '../../src/bus/port.ts'
import type { Change, Document, Guard, Store } from '../../src/store/port.ts'
import { rememberRows } from '../../src/store/recent.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { createFakeClock } from '../clock.ts'

const RUNS = Number(process.env['RECENT_RUNS'] ?? 500)
/** Longer than a row is kept whose change nobody tells. */
const LIFE_MS = 1_000
const PROCESSES = 3
const ID = 'a'
/** Every so many writes one process dies before it says that its change is over. */
const DYING = 3
const SETTLED_ROUNDS = 6

interface Row extends Document {
  n: number
}

interface Letter {
  message: string
  /** The write that it tells of. */
  n: number
}

const specs = [{ name: 'users' }]
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

const KINDS = ['goOn', 'settle', 'read', 'visit', 'write', 'deliver', 'lose', 'down', 'up', 'advance'] as const
type Kind = (typeof KINDS)[number]

/**
 * One thing that happens, with these weights: `goOn` is about a command under way, `settle` about all of them, `advance` about the
 * time, the rest about a process: a visit is a read with some time after it.
 */
const stepOf = (weights: Partial<Record<Kind, number>>) =>
  fc.record({
    kind: fc.oneof(...KINDS.map((kind) => ({ weight: weights[kind] ?? 0, arbitrary: fc.constant(kind) }))),
    pick: fc.nat(LIFE_MS)
  })
const mixes = {
  'processes that tell each other': {
    goOn: 3,
    settle: 3,
    read: 2,
    visit: 3,
    write: 1,
    deliver: 1,
    lose: 1,
    down: 1,
    up: 2,
    advance: 2
  },
  'processes that are not heard': { goOn: 8, settle: 1, read: 4, visit: 1, write: 1, advance: 3 }
}

/** Processes over one store, in which everything takes as long as the steps want it to. */
async function createWorld() {
  const clock = createFakeClock()
  const real = createSqliteStore({ path: ':memory:', specs })
  await real.collection<Row>('users').insert({ id: ID, n: 0 })
  const underWay: (() => void)[] = []
  const acknowledged: { n: number; at: number }[] = []
  const failures: string[] = []
  let version = 0
  const later = () => new Promise<void>((resolve) => void underWay.push(resolve))
  const marks = { count: 0, open: 0 }
  const confirmed = { reads: 0 }

  function startProcess(tellOthers: (letter: Letter) => void) {
    const mail: Letter[] = []
    let hear = (_message: string): void => {}
    let become = (_state: BusState): void => {}
    let isUp = true
    /** What was written or heard of here. */
    let known = 0
    let answered = 0
    const asked = { times: 0, at: 0 }

    /** The store, with a way there and a way back for reads, and a way back for writes. */
    function collection<D extends Document>(name: string) {
      const rows = real.collection<D>(name)
      return {
        ...rows,
        async get(id: string) {
          asked.times++
          asked.at = clock.now()
          await later()
          const row = await rows.get(id)
          await later()
          return row
        },
        async update(id: string, guard: Guard, change: Change) {
          marks.open++
          await later()
          const isDone = await rows.update(id, guard, change)
          await later()
          // One that dies here leaves its change open.
          if (Number(change.max?.['n']) % DYING !== 0)
            void later().then(() => {
              marks.count++
              marks.open--
            })
          answered = Number(change.max?.['n'])
          return isDone
        }
      }
    }
    async function look() {
      await later()
      const { count, open } = marks
      await later()
      return () => (open > 0 ? undefined : count)
    }
    const slow: Store = { ...real, marks: { look }, collection }
    const users = rememberRows(slow, {
      clock,
      bus: {
        publish: (_channel, message) => void (isUp && tellOthers({ message, n: answered })),
        subscribe(_channel, listener) {
          hear = listener
          return () => {}
        },
        watch(listener) {
          become = listener
          listener({ isUp })
        }
      }
    }).collection<Row>('users')

    return {
      take: (letter: Letter) => void (isUp && mail.push(letter)),
      async write() {
        const n = ++version
        await users.update(ID, {}, { max: { n } })
        known = Math.max(known, n)
        acknowledged.push({ n, at: clock.now() })
      },
      async read() {
        const old = acknowledged.filter((write) => !isUp || clock.now() - write.at >= LIFE_MS)
        const least = Math.max(known, ...old.map(({ n }) => n))
        const { times } = asked
        const row = await users.recent(ID)
        if (asked.times === times && clock.now() - asked.at >= LIFE_MS) confirmed.reads++
        if (!row || row.n < least) failures.push(`read ${row?.n}, where ${least} was to be seen`)
      },
      deliver() {
        const letter = mail.shift()
        if (!letter) return
        hear(letter.message)
        known = Math.max(known, letter.n)
      },
      lose: () => void mail.shift(),
      turn(to: boolean) {
        if (to === isUp) return
        isUp = to
        mail.length = 0
        become({ isUp })
      }
    }
  }

  type Process = ReturnType<typeof startProcess>
  const processes: Process[] = []
  for (let index = 0; index < PROCESSES; index++)
    processes.push(
      startProcess((letter) => {
        for (const [other, { take }] of processes.entries()) if (other !== index) take(letter)
      })
    )
  return { clock, processes, underWay, failures, confirmed, close: () => real.close() }
}

/** Lets what is under way come to its end, for the most part. */
async function settle(underWay: (() => void)[]): Promise<void> {
  for (let round = 0; round < SETTLED_ROUNDS; round++) {
    for (const goOn of underWay.splice(0)) goOn()
    await turn()
  }
}

for (const [title, weights] of Object.entries(mixes))
  t.test(`${title}: whoever reads sees what was written here, heard of, or written a second ago`, async (t) => {
    const played = { reads: 0, writes: 0, confirmed: 0 }
    await fc.assert(
      fc.asyncProperty(fc.array(stepOf(weights), { minLength: 20, maxLength: 120 }), async (steps) => {
        const world = await createWorld()
        const { clock, processes, underWay, failures } = world
        const all: Promise<void>[] = []
        for (const { kind, pick } of steps) {
          const process = processes[pick % PROCESSES]
          if (kind === 'visit' && process) {
            all.push(process.read())
            await settle(underWay)
            clock.advance(LIFE_MS)
          } else if (kind === 'goOn') underWay.splice(pick % Math.max(1, underWay.length), 1)[0]?.()
          else if (kind === 'settle') await settle(underWay)
          else if (kind === 'advance') clock.advance(2 * pick)
          else if (kind === 'read' && process) all.push(process.read())
          else if (kind === 'write' && process) all.push(process.write())
          else if (kind === 'deliver') process?.deliver()
          else if (kind === 'lose') process?.lose()
          else process?.turn(kind === 'up')
          if (kind === 'read' || kind === 'visit') played.reads++
          if (kind === 'write') played.writes++
          await turn()
        }
        const rest = { isOver: false }
        const over = Promise.all(all).finally(() => {
          rest.isOver = true
        })
        while (!rest.isOver) {
          underWay.shift()?.()
          await turn()
        }
        await over
        await world.close()
        played.confirmed += world.confirmed.reads
        if (failures.length > 0) throw new Error(failures.join('; '))
      }),
      { numRuns: RUNS }
    )
    t.ok(played.reads > RUNS && played.writes > RUNS && played.confirmed > RUNS / 10, JSON.stringify(played))
  })
