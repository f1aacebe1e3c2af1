import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { environment, startProcess } from './gateway-process.ts'

const COMMANDS = ['create-admin', 'verify', 'doctor', 'routes', 'openapi', 'docs']

t.test('the command line explains itself', async (t) => {
  for (const words of [[], ['help'], ['--help'], ['verify', '--help']]) {
    const help = startProcess(t, {}, ['src/cli.ts', ...words])
    t.equal(await help.exit, 0)
    for (const name of COMMANDS) t.match(help.stdout(), `\n  ${name}`)
    t.equal(help.stderr(), '')
  }
})

t.test('what no command understands is refused with the usage', async (t) => {
  const refused: [words: string[], sentence: string][] = [
    [['nonsense'], 'There is no command nonsense.'],
    [['constructor'], 'There is no command constructor.'],
    [['verify', '--nonsense'], "Unknown option '--nonsense'.\n"],
    [['verify', 'everything'], 'everything is one argument too many.'],
    [['docs', '--check=no'], "Option '--check' does not take an argument"],
    [['doctor', '--url'], "Option '--url <value>' argument missing"],
    [['create-admin', 'root'], '<e-mail> is missing.']
  ]
  for (const [words, sentence] of refused) {
    const command = startProcess(t, {}, ['src/cli.ts', ...words])
    t.equal(await command.exit, 1, words.join(' '))
    t.ok(command.stderr().startsWith(sentence), command.stderr())
    t.match(command.stderr(), '\nUsage: ')
    t.notMatch(command.stderr(), '    at ')
    t.equal(command.stdout(), '')
  }
})

t.test('an administrator is made once, and its password shown', async (t) => {
  const env = environment(t)
  const created = startProcess(t, env, ['src/cli.ts', 'create-admin', 'root', 'root@example.com'])
  t.equal(await created.exit, 0)
  t.match(created.stdout(), /Administrator root, password \S{20,}/)
  const twice = startProcess(t, env, ['src/cli.ts', 'create-admin', 'root', 'root@example.com'])
  t.equal(await twice.exit, 1)
})

t.test('a store that is not there is told in one sentence', async (t) => {
  const missing = startProcess(t, { DATA_DIR: join(environment(t).DATA_DIR, 'nowhere') }, ['src/cli.ts', 'verify'])
  t.equal(await missing.exit, 1)
  t.equal(missing.stderr().trim().split('\n').length, 1)
})

t.test('a reader that has read enough is no failure', async (t) => {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../../src/cli.ts'), 'openapi'])
  child.stdout.once('data', () => child.stdout.destroy())
  const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
  t.equal(stderr, '')
  t.equal(code, 0)
})
