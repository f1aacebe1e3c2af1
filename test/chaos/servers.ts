import type { Test } from 'tap'
import { type MongoServer, withMongo } from '../servers/mongodb.ts'
import { type RedisServer, withRedis } from '../servers/redis.ts'

export interface Servers {
  mongo: MongoServer
  redis: RedisServer
}

/** Registers a test with a MongoDB and a Redis of its own, to be killed. */
export function withServers(t: Test, title: string, run: (t: Test, servers: Servers) => Promise<void>) {
  const control = true
  return withMongo(
    t,
    title,
    async (t, mongo) => {
      await withRedis(t, 'sharing what they share', (t, redis) => run(t, { mongo, redis }), { control })
    },
    { control }
  )
}
