import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { type Catalogue, createCatalogue } from '../src/chatflows/catalogue.ts'
import { createSchedule } from '../src/chatflows/schedule.ts'
import { createSync, type Sync } from '../src/chatflows/sync.ts'
import { type ChatflowViews, createViews } from '../src/chatflows/views.ts'
import { toCredits, toMicro, toWholeMicro } from '../src/credits/pricing.ts'

declare module 'fastify' {
  interface FastifyInstance {
    chatflows: Catalogue & ChatflowViews
    chatflowSync: Sync
  }
}

const LEASE = 'chatflow-sync'
const LEASE_MS = 300_000

/** The catalogue of chatflows, and its unattended sync with Flowise. */
export default fp(
  async function chatflows(app: FastifyInstance) {
    const { store, clock, bus, config } = app
    const ended = new AbortController()
    const sync = createSync({ store, flowise: app.flowise, clock, signal: ended.signal })
    const pricing = config.accounting
      ? {
          toMicro: toWholeMicro,
          priceRule: 'must be whole credits: the accounting service knows no others',
          canMeter: false
        }
      : { toMicro }
    const views = createViews({ defaultPriceMicro: config.credits.priceMicro, toCredits })
    app.decorate('chatflows', { ...createCatalogue({ store, ...pricing }), ...views })
    app.decorate('chatflowSync', sync)

    const owner = app.ids.run()
    const schedule = createSchedule({
      clock,
      intervalMs: config.flowise.syncIntervalMs,
      async run() {
        // Of several processes one is enough; the others look again after the same interval. Not after the first sync:
        // if its process dies, the catalogue is empty until somebody repeats it.
        if (!(await bus.acquire(LEASE, owner, LEASE_MS))) {
          if ((await sync.lastSyncAt()) !== undefined) return
          throw new Error('The first sync is under way in another process')
        }
        try {
          const { created, updated, deleted, errors } = await sync.run({ confirm: false })
          app.log.debug({ created, updated, deleted, errors }, 'chatflows synced')
        } finally {
          await bus.release(LEASE, owner)
        }
      },
      onFailure(err, retryMs) {
        if (!ended.signal.aborted) app.log.warn({ err, retryMs }, 'chatflow sync failed')
      }
    })
    app.addHook('onReady', async function startSync() {
      // Not awaited: the gateway serves what it knows while Flowise is away.
      if (config.flowise.isSyncEnabled) schedule.start()
    })
    app.addHook('preClose', async function endSync() {
      ended.abort()
      await schedule.stop()
    })
  },
  { name: 'chatflows', dependencies: ['configuration', 'store', 'bus', 'flowise'] }
)
