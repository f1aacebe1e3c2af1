import { setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'
import type { MongoServer } from '../servers/mongodb.ts'
import { actAsAdministrator } from './administrator.ts'
import { audit, type Findings } from './audit.ts'
import { type Books, readBooks, readUnfinished } from './books.ts'
import { CHATFLOW_ID, type Installation, startInstallation } from './installation.ts'
import { createJournal, type Journal } from './journal.ts'
import { createRandom } from './random.ts'
import type { Servers } from './servers.ts'
import { storm } from './storm.ts'
import { actAsUser } from './users.ts'

export interface ChaosOptions {
  seed: number
  users: number
  thinkMs: number
  /** Of kills every second. */
  stormMs: number
  /** Kills of the store, and of Redis, in each storm. */
  outages: number
  /** Storms, each followed by a calm that ends with a kill of all gateways at once. */
  storms: number
  /** Longer than a lease is renewed: what is killed then has used something. */
  calmMs: number
  /** Halt one gateway for longer than its leases in the calm. */
  haltMs?: number
}

export interface ChaosResult {
  findings: Findings
  installation: Installation
  journal: Journal
  books: Books
  runs: ReadonlyMap<string, number>
}

/**
 * The sweeper needs 75 s; a key is taken over when its process has been silent for 90 s, and then its run takes its time.
 * The rest is for machines that are busy with something else, and is not used otherwise.
 */
const AFTERMATH_MS = 600_000
const LOOK_MS = 500
/** At work at the same time, with one account of their own: a change that is cut keeps one busy for long. */
const ADMINISTRATORS = 12

/** Runs users against gateways that are being killed, and audits the books when all leases have run out. */
export async function runChaos(t: Test, { mongo, redis }: Servers, options: ChaosOptions): Promise<ChaosResult> {
  const { seed, users, thinkMs, stormMs, outages, storms, calmMs, haltMs } = options
  const installation = await startInstallation(t, { gateways: 3, users, mongo, redis })
  const { gateways, send, administrator } = installation
  const journal = createJournal()
  const random = createRandom(seed)
  const plannedMs = storms * (stormMs + calmMs + (haltMs ?? 0))
  let overAt = Number.POSITIVE_INFINITY
  const over = new AbortController()
  const isOver = () => Date.now() >= overAt
  const giveUpAt = () => overAt + AFTERMATH_MS
  const common = { send, journal, thinkMs, isOver, over: over.signal, giveUpAt }
  const clients = [
    ...installation.users.map((user, number) =>
      actAsUser({ ...common, user, number, chatflowId: CHATFLOW_ID, random: random.fork(user.id) })
    ),
    ...Array.from({ length: ADMINISTRATORS }, (_, number) =>
      actAsAdministrator({
        ...common,
        number,
        token: administrator.token,
        userIds: installation.users.map(({ id }) => id),
        random: random.fork(`administrator ${number}`)
      })
    )
  ]
  t.comment(`seed ${seed}: ${users} users, ${plannedMs / 1000} s and the end of the leases`)
  const chance = random.fork('storm')
  for (let number = 0; number < storms; number++) {
    t.comment(`storm ${number + 1}`)
    await storm({ gateways, store: mongo, redis, random: chance, journal }, { ms: stormMs, outages })
    const halted = haltMs === undefined ? undefined : gateways[chance.below(gateways.length)]
    await Promise.all(gateways.map((gateway) => gateway.listening()))
    t.comment(`calm ${number + 1}${halted ? `, ${halted.name} is halted` : ''}`)
    halted?.pause()
    await wait(haltMs ?? 0)
    halted?.resume()
    await wait(calmMs)
    for (const gateway of gateways) gateway.kill()
  }
  t.comment('all are killed at once, and nothing new begins')
  overAt = Date.now()
  over.abort()
  await Promise.all(clients)
  t.comment('every key has its answer')
  await finish(mongo, Date.now() + AFTERMATH_MS)
  await Promise.all(gateways.map((gateway) => gateway.stop()))
  const [books, runs] = [await readBooks(mongo), await installation.runs()]
  return { findings: audit({ books, journal, runs, now: Date.now() }), installation, journal, books, runs }
}

/** Waits until no hold is left and nothing waits to be published, or until it should be so. */
async function finish(mongo: MongoServer, until: number): Promise<void> {
  for (;;) {
    const { holds, waiting } = await readUnfinished(mongo)
    if ((holds === 0 && waiting === 0) || Date.now() > until) return
    await wait(LOOK_MS)
  }
}
