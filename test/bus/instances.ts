import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { buildApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { buildTestApp, type Send, type TestApp } from '../helper.ts'
import type { RedisServer } from '../servers/redis.ts'
import { type OpenedRedisBus, openBusOn } from './redis-bus.ts'

export interface Instance {
  app: FastifyInstance
  bus: OpenedRedisBus
  request: Send
}

/** Two gateways over one store, one Flowise and one Redis, as processes of one installation are. */
export async function startInstances(
  t: Test,
  redis: RedisServer,
  env: Record<string, string> = {}
): Promise<{ one: Instance; other: Instance; gateway: TestApp }> {
  const settings = { REDIS_URL: redis.url, DEFAULT_CREDITS: '1000', ...env }
  const [first, second] = await Promise.all([
    openBusOn(t, redis.url, redis.prefix),
    openBusOn(t, redis.url, redis.prefix)
  ])
  const gateway = await buildTestApp(t, { env: settings, parts: { bus: first.bus } })
  const { store } = gateway.app.parts
  const app = await buildApp(loadConfig({ ...environmentOf(gateway), ...settings }), {
    ...gateway.app.parts,
    bus: second.bus,
    // The store is closed by the first.
    store: { ...store, close: async () => {} }
  })
  t.teardown(() => app.close())
  await app.ready()
  const one = { app: gateway.app, bus: first, request: gateway.request }
  const other = { app, bus: second, request: senderOf(app) }
  return { one, other, gateway }
}

/** Resolves when the other instance has heard what this one has told all so far. */
export async function heard(from: Instance, other: Instance): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const leave = other.bus.bus.subscribe('test: heard', () => resolve())
  from.bus.bus.publish('test: heard', '')
  await promise
  leave()
}

function environmentOf({ dataDir, standIn }: TestApp): Record<string, string> {
  return {
    NODE_ENV: 'test',
    LOG_LEVEL: 'silent',
    DATA_DIR: dataDir,
    FLOWISE_API_URL: standIn.url,
    ENABLE_CHATFLOW_SYNC: 'false',
    DRAIN_SECONDS: '1'
  }
}

function senderOf(app: FastifyInstance): Send {
  return (method, url, { token, body, headers = {} } = {}) =>
    app.inject({
      method,
      url,
      headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
      ...(body === undefined ? {} : { payload: Object(body) })
    })
}
