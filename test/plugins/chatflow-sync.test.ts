import fastify, { type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import t, { type Test } from 'tap'
import bus from '../../plugins/bus.ts'
import chatflows from '../../plugins/chatflows.ts'
import configuration from '../../plugins/configuration.ts'
import flowise from '../../plugins/flowise.ts'
import metrics from '../../plugins/metrics.ts'
import { createSqliteBlobs } from '../../src/blobs/sqlite.ts'
import { createLocalBus } from '../../src/bus/local.ts'
import { loadConfig } from '../../src/config.ts'
import { createIds } from '../../src/ids.ts'
import { createFakeClock } from '../clock.ts'
import { openTempStore } from '../temp-store.ts'

const INTERVAL_MS = 3_600_000

/** The real plugin and its schedule, over a client whose list the test decides. */
async function setUp(t: Test, env: Record<string, string> = {}) {
  const clock = createFakeClock()
  const config = loadConfig({ NODE_ENV: 'test', CHATFLOW_SYNC_INTERVAL_HOURS: '1', ...env })
  const parts = {
    clock,
    ids: createIds(),
    store: openTempStore(t),
    blobs: await createSqliteBlobs({ path: ':memory:', clock }),
    bus: createLocalBus(clock),
    jwtSecret: '',
    flowiseUrl: 'http://127.0.0.1:1',
    isDemo: false,
    logger: false
  }
  const app = fastify()
  const lists: PromiseWithResolvers<unknown[]>[] = []
  await app.register(configuration, { config, parts })
  await app.register(metrics)
  await app.register(bus)
  // Without its maintenance, whose timer would stand before those of the schedule.
  const store = async (app: FastifyInstance) => void app.decorate('store', parts.store)
  await app.register(fp(store, { name: 'store' }))
  await app.register(flowise)
  await app.register(
    fp(async function listing(app: FastifyInstance) {
      app.flowise.listChatflows = async () => {
        const list = Promise.withResolvers<unknown[]>()
        lists.push(list)
        return list.promise
      }
    })
  )
  await app.register(chatflows)
  t.teardown(() => app.close())
  await app.ready()
  return { app, clock, lists }
}

/** Lets work go on until it holds; a test that waits in vain runs into its time limit. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise<void>((resolve) => void setImmediate(resolve))
}

t.test('the start does not wait for sync, which is repeated until it succeeds, then by the interval', async (t) => {
  const { app, clock, lists } = await setUp(t)
  await until(() => lists.length === 1)
  lists[0]?.reject(new Error('not there yet'))
  await until(() => clock.nextAt() === clock.now() + 1000)
  clock.advance(1000)
  await until(() => lists.length === 2)
  lists[1]?.resolve([{ id: 'a', name: 'A' }])
  await until(() => clock.nextAt() === clock.now() + INTERVAL_MS)
  t.match(await app.chatflows.get('a'), { status: 'active' })
  clock.advance(INTERVAL_MS)
  await until(() => lists.length === 3)
  lists[2]?.resolve([])
  await until(() => clock.nextAt() === clock.now() + 1000)
  t.match(await app.chatflows.get('a'), { status: 'active' }, 'unattended, an empty list is never believed')
})

t.test('a process leaves the sync to the one that is doing it', async (t) => {
  const { app, clock, lists } = await setUp(t)
  await until(() => lists.length === 1)
  lists[0]?.resolve([{ id: 'a', name: 'A' }])
  await until(() => clock.nextAt() === clock.now() + INTERVAL_MS)
  await app.bus.acquire('chatflow-sync', 'another process', 2 * INTERVAL_MS)
  clock.advance(INTERVAL_MS)
  await until(() => clock.nextAt() === clock.now() + INTERVAL_MS)
  t.equal(lists.length, 1)
})

t.test('a first sync that died with its process is repeated by another one soon', async (t) => {
  const { app, clock, lists } = await setUp(t)
  await until(() => lists.length === 1)
  lists[0]?.reject(new Error('not there yet'))
  await until(() => clock.nextAt() === clock.now() + 1000)
  await app.bus.acquire('chatflow-sync', 'a process that dies', 2500)
  clock.advance(1000)
  await until(() => clock.nextAt() === clock.now() + 2000)
  t.equal(lists.length, 1)
  clock.advance(2000)
  await until(() => lists.length === 2)
  lists[1]?.resolve([{ id: 'a', name: 'A' }])
  await until(() => clock.nextAt() === clock.now() + INTERVAL_MS)
  t.match(await app.chatflows.get('a'), { status: 'active' })
})

t.test('closing does not wait for a list that does not come', async (t) => {
  const { app, lists } = await setUp(t)
  await until(() => lists.length === 1)
  await app.close()
  t.pass('closed')
})

t.test('switched off, nothing is asked', async (t) => {
  const { clock, lists } = await setUp(t, { ENABLE_CHATFLOW_SYNC: 'false' })
  clock.advance(2 * INTERVAL_MS)
  t.equal(lists.length, 0)
})
