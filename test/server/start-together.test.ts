import t from 'tap'
import { MongoClient } from 'mongodb'
import { collections } from '../../src/store/collections.ts'
import { withMongo } from '../servers/mongodb.ts'
import { environment, startProcess } from './gateway-process.ts'

const GATEWAYS = 5
const PASSWORD = 'the first password'
t.setTimeout(300_000)

void withMongo(t, 'gateways that start at the same moment make one installation', async (t, { url, database }) => {
  const env = environment(t, {
    // The server of the tests makes indexes one by one, for all of them.
    MONGODB_URL: `${url}?waitQueueTimeoutMS=60000&socketTimeoutMS=60000`,
    MONGODB_DATABASE_NAME: database,
    JWT_SECRET_KEY: 'a-secret-of-more-than-thirty-two-bytes',
    ADMIN_PASSWORD: PASSWORD
  })
  const gateways = Array.from({ length: GATEWAYS }, () => startProcess(t, env))
  const bases = await Promise.all(gateways.map(({ listening }) => listening))
  t.equal(new Set(bases).size, GATEWAYS)

  const tokens = await Promise.all(
    bases.map(async (base) => {
      const reply = await fetch(`${base}/api/v1/chat/authenticate`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ username: 'admin', password: PASSWORD })
      })
      t.equal(reply.status, 200)
      const { access_token = '' }: { access_token?: string } = JSON.parse(await reply.text())
      return access_token
    })
  )
  // Each one takes the token of the one before it.
  for (const [n, base] of bases.entries()) {
    const headers = { authorization: `Bearer ${tokens.at(n - 1)}` }
    t.equal((await fetch(`${base}/api/v1/chat/credits`, { headers })).status, 200)
  }

  const client = new MongoClient(url)
  t.teardown(() => client.close())
  const db = client.db(database)
  t.equal(await db.collection('users').countDocuments(), 1)
  t.equal(await db.collection('meta').countDocuments({ _id: { $eq: 'schema' as never } }), 1)
  for (const { name, unique = [], indexes = [] } of collections) {
    // Made with its first row.
    if (unique.length + indexes.length === 0) continue
    const names = new Set((await db.collection(name).indexes()).map((index) => index.name))
    for (const members of unique) t.ok(names.has(`unique_${members.join('_')}`), `${name} ${members.join()}`)
    for (const members of indexes) t.ok(names.has(`by_${members.join('_')}`), `${name} ${members.join()}`)
  }

  for (const { child } of gateways) child.kill('SIGTERM')
  for (const { exit, stderr } of gateways) {
    t.equal(await exit, 0)
    t.equal(stderr(), '')
  }
  const verify = startProcess(t, env, ['src/cli.ts', 'verify'])
  t.equal(await verify.exit, 0, verify.stdout() + verify.stderr())
  t.match(verify.stdout(), /^1 accounts, \d+ entries, 0 problems$/m)
})
