import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { withMongo } from '../servers/mongodb.ts'
import { withRedis } from '../servers/redis.ts'
import { startInstallation, withHaproxy } from './load-balancer.ts'

t.setTimeout(300_000)

withMongo(t, 'what the profile scale runs has one set of books', async (t, mongo) => {
  await withRedis(t, 'three gateways', async (t, redis) => {
    await withHaproxy(t, 'and a load balancer', async (t, program) => {
      const { standIn, gateways, token, post, get, stream, busy, becomes } = await startInstallation(t, program, {
        NODE_ENV: 'production',
        MONGODB_URL: mongo.url,
        MONGODB_DATABASE_NAME: mongo.database,
        REDIS_URL: redis.url,
        // No folder can be made here: with MongoDB and a secret of its own a gateway needs none.
        DATA_DIR: '/dev/null/data'
      })
      const credits = async (url?: string) => {
        const path = '/api/v1/chat/credits'
        const reply = await (url
          ? fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}` } })
          : get(path))
        const { credits_remaining, credits_held } = JSON.parse(await reply.text())
        return [credits_remaining, credits_held]
      }

      const asked = Array.from({ length: 30 }, () =>
        post('/api/v1/chat/predict', { chatflow_id: DEMO_IDS.echo, question: 'hi' })
      )
      t.same(new Set((await Promise.all(asked)).map(({ status }) => status)), new Set([200]))
      for (const { process } of gateways.values()) t.same(await credits(await process.listening), [970, 0])

      standIn.next({
        events: [
          ['token', 'half'],
          ['token', 'never']
        ],
        gates: { 1: 'killed' }
      })
      const wire = stream()
      await wire.until(/half/)
      const { name, process, restart } = await busy()
      process.child.kill('SIGKILL')
      await t.rejects(wire.ended, 'a stream that has begun breaks off')
      t.same(await credits(), [969, 1], 'its hold is known to the others')
      await restart()
      await becomes(name, /^UP/)
      t.same(await credits(await gateways.get(name)?.process.listening), [969, 1])
      standIn.gate('killed').open()
    })
  })
})
