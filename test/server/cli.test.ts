import { join } from 'node:path'
import t from 'tap'
import { environment, startProcess } from './gateway-process.ts'

t.test('the command line explains itself', async (t) => {
  const help = startProcess(t, {}, ['src/cli.ts'])
  t.equal(await help.exit, 0)
  t.match(help.stderr(), 'create-admin')
  const unknown = startProcess(t, {}, ['src/cli.ts', 'nonsense'])
  t.equal(await unknown.exit, 1)
  const env = environment(t)
  const created = startProcess(t, env, ['src/cli.ts', 'create-admin', 'root', 'root@example.com'])
  t.equal(await created.exit, 0)
  t.match(created.stdout(), /Administrator root, password \S{20,}/)
  const twice = startProcess(t, env, ['src/cli.ts', 'create-admin', 'root', 'root@example.com'])
  t.equal(await twice.exit, 1)
  const missing = startProcess(t, { DATA_DIR: join(env.DATA_DIR, 'nowhere') }, ['src/cli.ts', 'verify'])
  t.equal(await missing.exit, 1)
  t.notMatch(missing.stderr(), '    at ')
})
