import t, { type Test } from 'tap'
import { DENYLIST_LINE } from '../../src/doctor/exposure.ts'
import { startFlowiseDoor } from '../doctor/flowise-door.ts'
import { startProxy } from '../doctor/proxy.ts'
import { withMongo } from '../servers/mongodb.ts'
import { startRedis } from '../servers/redis.ts'
import { environment, startProcess } from './gateway-process.ts'

const SECRETS = {
  FLOWISE_API_KEY: 'flowise-key-5f1d7c',
  JWT_SECRET_KEY: 'signing-secret-0a9b8c7d6e5f4a3b2c1d0e9f8a7b',
  ADMIN_PASSWORD: 'the password of the administrator',
  METRICS_TOKEN: 'metrics-token-77aa'
}
const REDIS = 'redis://default:redis%20password@127.0.0.1:1'

async function runDoctor(t: Test, env: Record<string, string>, ...options: string[]) {
  const { exit, stdout, stderr } = startProcess(t, env, ['src/cli.ts', 'doctor', ...options])
  return { code: await exit, stdout: stdout(), stderr: stderr() }
}

t.test('a deployment in order, and the same behind a proxy that buffers', async (t) => {
  const door = await startFlowiseDoor(t, { apiKey: SECRETS.FLOWISE_API_KEY, denylist: DENYLIST_LINE })
  const env = environment(t, { ...SECRETS, NODE_ENV: 'production', FLOWISE_API_URL: door.url, TRUST_PROXY: '1' })
  const gateway = startProcess(t, env)
  const url = await gateway.listening

  const direct = await runDoctor(t, { ...env, HOST: '127.0.0.1', PORT: new URL(url).port })
  t.equal(direct.code, 0, direct.stdout)
  t.match(direct.stdout, /^ok {4}environment {2}every variable is valid \(production, port \d+\)\n/)
  t.match(direct.stdout, /^ok {4}store {8}SQLite in .*: 1 user, 0 chatflows$/m)
  t.match(direct.stdout, /^ok {4}flowise {6}Flowise 3\.1\.4 at /m)
  t.match(direct.stdout, /\n\n\d+ ok, \d warnings?, 0 failures\n$/)
  t.notMatch(direct.stdout, '\u001B', 'no colours in a file')

  const proxy = await startProxy(t, url, { manner: 'buffers', isForwarding: true })
  const buffered = await runDoctor(t, env, '--url', `${proxy}/`)
  t.equal(buffered.code, 1)
  t.match(buffered.stdout, /^fail +streams are buffered: /m)
  t.match(buffered.stdout, /^ok +made-up forwarding headers are not believed$/m)
})

t.test('what is wrong is told, for machines too, and no secret with it', async (t) => {
  const door = await startFlowiseDoor(t)
  const env = environment(t, { ...SECRETS, FLOWISE_API_URL: door.url, REDIS_URL: REDIS })
  const text = await runDoctor(t, env, '--url', 'http://127.0.0.1:1')
  const json = await runDoctor(t, env, '--json', '--url', 'http://127.0.0.1:1')
  const broken = await runDoctor(t, { ...env, PORT: 'none' }, '--json')
  for (const { code, stdout, stderr } of [text, json, broken]) {
    t.equal(code, 1)
    t.equal(stderr, '')
    for (const secret of [...Object.values(SECRETS), 'redis password', 'redis%20password', 'door-key'])
      t.notOk(stdout.includes(secret), `without ${secret}`)
  }
  t.ok(text.stdout.split('\n').includes(DENYLIST_LINE), 'a line of its own, to be copied')
  const { summary, findings } = JSON.parse(json.stdout)
  const failed = findings.filter(({ level }: { level: string }) => level === 'fail')
  t.equal(failed.length, summary.fail)
  t.strictSame(
    failed.map(({ area, text }: { area: string; text: string }) => `${area}: ${text.slice(0, 20)}`),
    [
      'store: There is no gateway ',
      'redis: no answer from 127.0',
      'flowise: Flowise does not kno',
      'gateway: no answer from http:'
    ]
  )
  t.match(JSON.parse(broken.stdout), {
    summary: { ok: 0, warn: 0, fail: 1 },
    findings: [{ area: 'environment', level: 'fail', text: /^PORT must be a whole number/ }]
  })
})

withMongo(t, 'a deployment on MongoDB and Redis names both', async (t, mongo) => {
  const door = await startFlowiseDoor(t, { apiKey: SECRETS.FLOWISE_API_KEY, denylist: DENYLIST_LINE })
  const redis = await startRedis(t)
  const shared = { MONGODB_URL: mongo.url, MONGODB_DATABASE_NAME: mongo.database }
  const env = environment(t, { ...SECRETS, ...shared, FLOWISE_API_URL: door.url, REDIS_URL: redis?.url ?? '' })
  const url = await startProcess(t, env).listening
  const { code, stdout } = await runDoctor(t, { ...env, HOST: '127.0.0.1', PORT: new URL(url).port })
  t.equal(code, 0, stdout)
  t.match(stdout, new RegExp(`^ok +store +(FerretDB, .*)?MongoDB \\d.*, database ${mongo.database}: 1 user, `, 'm'))
  t.match(stdout, redis ? /^ok +redis +Redis \d/m : /MONGODB_URL without REDIS_URL/)
})

t.test('a public address that is none is refused before anything is asked', async (t) => {
  for (const url of ['chat.example.com', 'ftp://chat.example.com', 'https://me:secret@chat.example.com']) {
    const { code, stdout, stderr } = await runDoctor(t, environment(t), '--url', url)
    t.equal(code, 1)
    t.equal(stdout, '')
    t.match(stderr, /^--url must be an http or https URL without credentials/)
    t.notMatch(stderr, 'me:secret')
  }
})
