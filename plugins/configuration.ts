import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Parts } from '../src/app.ts'
import type { Clock } from '../src/clock.ts'
import type { Config } from '../src/config.ts'
import type { Ids } from '../src/ids.ts'

declare module 'fastify' {
  interface FastifyInstance {
    config: Config
    parts: Parts
    clock: Clock
    ids: Ids
  }
}

/** The configuration and the outside world as decorators, for all other plugins. */
export default fp(
  async function configuration(app: FastifyInstance, options: { config: Config; parts: Parts }) {
    app.decorate('config', options.config)
    app.decorate('parts', options.parts)
    app.decorate('clock', options.parts.clock)
    app.decorate('ids', options.parts.ids)
  },
  { name: 'configuration' }
)
