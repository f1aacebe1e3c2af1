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

/** One thing that happens: `goOn` is about a command under way, `advance` about the time, the rest about a process. */
const step = fc.record({
  kind: fc.constantFrom(
    ...([
      'goOn',
      'goOn',
      'goOn',
      'read',
      'read',
      'write',
      'deliver',
      'deliver',
      'lose',
      'down',
      'up',
      'advance'
    ] as const)
  ),
  pick: fc.nat(LIFE_MS)
})

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

  function startProcess(tellOthers: (letter: Letter) => void) {
    const mail: Letter[] = []
    let hear = (_message: string): void => {}
    let become = (_state: BusState): void => {}
    let isUp = true
    /** What was written or heard of here. */
    let known = 0
    let answered = 0

    /** The store, with a way there and a way back for reads, and a way back for writes. */
    function collection<D extends Document>(name: string) {
      const rows = real.collection<D>(name)
      return {
        ...rows,
        async get(id: string) {
          await later()
          const row = await rows.get(id)
          await later()
          return row
        },
        async update(id: string, guard: Guard, change: Change) {
          const isDone = await rows.update(id, guard, change)
          await later()
          answered = Number(change.max?.['n'])
          return isDone
        }
      }
    }
    const slow: Store = { ...real, collection }
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
        const row = await users.recent(ID)
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
  return { clock, processes, underWay, failures, close: () => real.close() }
}

t.test('whoever reads sees what was written here, heard of, or written a second ago', async (t) => {
  const played = { reads: 0, writes: 0 }
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 80 }), async (steps) => {
      const world = await createWorld()
      const { clock, processes, underWay, failures } = world
      const all: Promise<void>[] = []
      for (const { kind, pick } of steps) {
        const process = processes[pick % PROCESSES]
        if (kind === 'goOn') underWay.splice(pick % Math.max(1, underWay.length), 1)[0]?.()
        else if (kind === 'advance') clock.advance(pick)
        else if (kind === 'read' && process) all.push(process.read())
        else if (kind === 'write' && process) all.push(process.write())
        else if (kind === 'deliver') process?.deliver()
        else if (kind === 'lose') process?.lose()
        else process?.turn(kind === 'up')
        if (kind === 'read') played.reads++
        if (kind === 'write') played.writes++
        await turn()
      }
      while (underWay.length > 0) {
        underWay.shift()?.()
        await turn()
      }
      await Promise.all(all)
      await world.close()
      if (failures.length > 0) throw new Error(failures.join('; '))
    }),
    { numRuns: RUNS }
  )
  t.ok(played.reads > RUNS && played.writes > RUNS, JSON.stringify(played))
})
