import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { environment, startProcess } from './gateway-process.ts'

t.test('production without its variables names all of them and does not start', async (t) => {
  const gateway = startProcess(t, environment(t, { NODE_ENV: 'production', PORT: 'eighty', JWT_ALGORITHM: 'none' }))
  t.equal(await gateway.exit, 1)
  for (const name of ['JWT_SECRET_KEY', 'FLOWISE_API_URL', 'PORT', 'JWT_ALGORITHM']) t.match(gateway.stderr(), name)
  t.equal(gateway.stdout(), '')
})

t.test('a port that is taken, and a folder that cannot be written, are named', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const address = other.address()
  const port = String(typeof address === 'object' ? address?.port : 0)
  const taken = startProcess(t, environment(t, { HOST: '127.0.0.1', PORT: port }))
  t.equal(await taken.exit, 1)
  t.match(taken.stderr(), /^PORT /)
  other.close()

  const folder = t.testdir({ file: 'not a folder' })
  for (const DATA_DIR of [join(folder, 'file'), join(folder, 'file', 'below'), '/proc/nowhere/data', '/proc']) {
    const unusable = startProcess(t, { PORT: '0', DATA_DIR })
    t.equal(await unusable.exit, 1, DATA_DIR)
    t.match(unusable.stderr(), /^DATA_DIR .*\n$/, DATA_DIR)
  }
})

t.test('a damaged secret file is named', async (t) => {
  const env = environment(t)
  const first = startProcess(t, env)
  await first.listening
  first.child.kill('SIGTERM')
  await first.exit
  const path = join(env.DATA_DIR, 'jwt-secret')
  t.ok(readFileSync(path, 'utf8').length >= 32)
  writeFileSync(path, 'short')
  const second = startProcess(t, env)
  t.equal(await second.exit, 1)
  t.match(second.stderr(), 'jwt-secret is damaged')
})

t.test('a file .env in the working directory fills in what the environment does not say', async (t) => {
  const cwd = t.testdir({ '.env': 'PORT=not-a-port\nLOG_LEVEL=shout\n' })
  const refused = startProcess(t, { DATA_DIR: join(cwd, 'data'), LOG_LEVEL: 'info' }, ['src/server.js'], cwd)
  t.equal(await refused.exit, 1)
  t.match(refused.stderr(), 'PORT')
  t.notMatch(refused.stderr(), 'LOG_LEVEL')
})
