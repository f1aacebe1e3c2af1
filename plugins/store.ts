import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { OpenedStore } from '../src/store/open.ts'
import type { Store } from '../src/store/port.ts'
import { rememberRows } from '../src/store/recent.ts'

declare module 'fastify' {
  interface FastifyInstance {
    store: Store
  }
}

const MAINTAIN_MS = 10_000
const COMPARE_CLOCKS_MS = 600_000
/** Leases last 60 s and are renewed every 15 s: two gateways that are 45 s apart end each other's holds. */
const TOLERATED_MS = 10_000

/** The store; closed after everything that may still write. */
export default fp(
  async function store(app: FastifyInstance) {
    const { mongo } = app.parts.store
    app.decorate('store', storeOf(app))
    if (mongo) await useMongo(app, mongo)
    app.lifecycle.every(MAINTAIN_MS, 'store maintenance', async function maintainStore() {
      await app.takeTurn('store-maintenance', MAINTAIN_MS, () => app.store.maintain())
    })
    app.addHook('onClose', async function closeStore() {
      await app.store.close()
    })
  },
  { name: 'store', dependencies: ['configuration', 'lifecycle', 'bus'] }
)

/** The driver is loaded where it is used: it takes its time, and memory. */
async function useMongo(app: FastifyInstance, mongo: NonNullable<OpenedStore['mongo']>): Promise<void> {
  const { default: fastifyMongodb } = await import('@fastify/mongodb')
  const { clockDifferenceMs } = await import('../src/store/mongo/clock-difference.ts')
  // The same connections for what is no document: `app.mongo`.
  await app.register(fastifyMongodb, mongo)
  async function compareClocks(): Promise<void> {
    const differenceMs = await clockDifferenceMs(mongo, app.clock)
    if (Math.abs(differenceMs) < TOLERATED_MS) return
    app.log.warn({ differenceMs }, 'the clocks of this machine and of MongoDB differ: leases may end too early')
  }
  app.addHook('onReady', compareClocks)
  app.lifecycle.every(COMPARE_CLOCKS_MS, 'clocks', compareClocks)
}

/** With a memory where reading is a way to another machine. */
function storeOf({ parts, bus, clock }: FastifyInstance): Store {
  return parts.store.kind === 'mongodb' ? rememberRows(parts.store, { bus, clock }) : parts.store
}
