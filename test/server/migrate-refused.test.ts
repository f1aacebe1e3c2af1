import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openStore } from '../../src/store/open.ts'
import { withMongo } from '../servers/mongodb.ts'
import { environment, startProcess } from './gateway-process.ts'

const SECRET = 'never-shown'
// A dozen processes, one after the other.
t.setTimeout(300_000)

/** The command ends with exit code 1 and this on its error output, which tells no password. */
async function refused(t: Test, words: string[], reason: RegExp, env: Record<string, string> = {}): Promise<void> {
  const command = startProcess(t, env, ['src/cli.ts', 'migrate', ...words])
  t.equal(await command.exit, 1, words.join(' '))
  t.match(command.stderr(), reason)
  t.notMatch(command.stderr() + command.stdout(), SECRET)
  t.notMatch(command.stderr(), '    at ')
}

async function makeData(dataDir: string): Promise<string> {
  await (await openStore({ dataDir }, { mode: 'serve' })).close()
  return dataDir
}

t.test('a move between places that cannot be is refused', async (t) => {
  const dataDir = await makeData(join(t.testdir(), 'data'))
  const from = ['--from', `sqlite:${dataDir}`]
  const login = `user:${SECRET}@`
  await refused(t, [], /^--from is missing/)
  await refused(t, from, /^--to is missing/)
  await refused(t, [...from, '--to', 'sqlite:'], /^--to is neither sqlite:<folder> nor mongodb:/)
  await refused(t, [...from, '--to', `redis://${login}host`], /^--to is neither/)
  await refused(t, [...from, '--to', `mongodb://${login}host/a.b`], /^--to: a database has 1 to 63 letters/)
  await refused(t, [...from, '--to', `mongodb://${login}host/a/${SECRET}`], /^--to: a database has 1 to 63 letters/)
  await refused(t, [...from, '--to', 'mongodb'], /^--to mongodb needs MONGODB_URL/)
  await refused(t, [`mongodb://${login}host`], /^mongodb:\/\/\.\.\. is one argument too many/)
  await refused(t, [...from, '--to', `sqlite:${dataDir}/../data`], /^--from and --to are the same store/)
  await refused(t, ['--from', 'sqlite', '--to', `sqlite:${dataDir}`], /are the same store/, { DATA_DIR: dataDir })
  await refused(t, [...from, '--to', `mongodb://${login}127.0.0.1:1/x`], /^--to: no MongoDB answers there/)
  await refused(t, [...from, '--to', `mongodb://${login}127.0.0.1:1/?nonsense=1`], /^--to: cannot be read/)
  await refused(
    t,
    ['--from', `sqlite:${dataDir}/nowhere`, '--to', `sqlite:${dataDir}2`],
    /^--from: There is no gateway data/
  )
})

t.test('a source that a gateway serves, and a target that one serves, are refused', async (t) => {
  const env = environment(t)
  const gateway = startProcess(t, env)
  await gateway.listening
  const other = await makeData(`${env.DATA_DIR}-other`)
  const places = [`sqlite:${env.DATA_DIR}`, `sqlite:${other}`] as const
  await refused(t, ['--from', places[0], '--to', places[1]], /^--from: Another gateway process uses /)
  await refused(t, ['--from', places[1], '--to', places[0]], /^--to: Another gateway process uses /)
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.exit, 0)
})

t.test('a target that holds something else, or the half of another move, is refused and left alone', async (t) => {
  const folders = t.testdir()
  const dataDir = await makeData(join(folders, 'data'))
  const used = await makeData(join(folders, 'used'))
  const half = await makeData(join(folders, 'half'))
  const put = async (folder: string, collection: string, document: { id: string; value?: unknown }) => {
    const store = await openStore({ dataDir: folder }, { mode: 'fill' })
    t.ok(await store.collection(collection).insert(document))
    await store.close()
  }
  await put(used, 'meta', { id: 'chatflow_sync', value: 1 })
  await put(half, 'meta', { id: 'move', value: { source: 'another', startedAt: 1 } })
  const from = ['--from', `sqlite:${dataDir}`]
  await refused(t, [...from, '--to', `sqlite:${used}`], /^The target is not empty: it has documents in meta/)
  await refused(t, [...from, '--to', `sqlite:${half}`], /^The target is that of an unfinished move from another source/)
  await refused(t, ['--from', `sqlite:${half}`, '--to', `sqlite:${dataDir}`], /^--from: The data here is not whole/)
})

void withMongo(t, 'a database without a gateway in it is no source', async (t, { url, freshDatabase }) => {
  const dataDir = join(t.testdir(), 'data')
  const from = `${url}${freshDatabase()}`
  await refused(t, ['--from', from, '--to', `sqlite:${dataDir}`], /^--from: there is no gateway data in MongoDB/)
})
