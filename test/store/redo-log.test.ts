import { pbkdf2 } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { createRedoLog, type RedoLog } from '../../src/store/sqlite/redo-log.ts'
import { canLimitFiles, limitFiles } from './file-limit.ts'

const pbkdf = promisify(pbkdf2)

function open(t: Test, path = join(t.testdir(), 'things.db-redo')) {
  const log = createRedoLog(path)
  t.teardown(() => log.close(false))
  log.read(1)
  return { path, log }
}

function sync(log: RedoLog): Promise<void> {
  return new Promise((resolve, reject) => {
    log.sync((error) => (error ? reject(error) : resolve()))
  })
}

/** Descriptors of this process that are open on a file. */
function openOn(path: string): string[] {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path
    } catch {
      return false
    }
  })
}

t.test('what was taken back does not return behind what is written in its place', async (t) => {
  const { path, log } = open(t)
  t.ok(log.append(1, 'kept'))
  await sync(log)
  for (const text of ['lost 1', 'lost 2', 'lost 3']) t.ok(log.append(1, text))
  log.cut()
  t.same(log.read(1), ['kept'])
  t.ok(log.append(1, 'next 1'), 'as long as what was there')
  t.same(log.read(1), ['kept', 'next 1'])
  t.ok(readFileSync(path).includes('lost 3'), 'which is whole and of this generation')
  t.ok(log.append(1, 'next 2'))
  t.same(createRedoLog(path).read(1), ['kept', 'next 1', 'next 2'])
})

t.test('what a crash has left behind a torn record does not return behind the next one', async (t) => {
  const { path, log } = open(t)
  for (const text of ['whole', 'torn', 'late']) t.ok(log.append(1, text))
  log.close(false)
  const bytes = readFileSync(path)
  bytes[bytes.indexOf('torn')] = 0
  writeFileSync(path, bytes)
  const { log: after } = open(t, path)
  t.same(after.read(1), ['whole'])
  t.ok(after.append(1, 'same'))
  t.same(after.read(1), ['whole', 'same'])
})

t.test('a generation begins anew and shows nothing of the one before, nor of another', async (t) => {
  const { log } = open(t)
  for (const text of ['a', 'b', 'c']) t.ok(log.append(1, text))
  log.restart()
  t.notOk(log.isUsed())
  t.same(log.read(2), [])
  t.ok(log.append(2, 'd'))
  t.same(log.read(2), ['d'])
  t.same(log.read(1), [], 'it is written over')
  t.same(log.read(3), [])
})

t.test('a sync of an older generation says nothing of this one', async (t) => {
  const { log } = open(t)
  t.ok(log.append(1, 'old'.repeat(20)))
  const threads = Promise.all(Array.from({ length: 8 }, () => pbkdf('x', 'y', 50_000, 32, 'sha512')))
  const synced = sync(log)
  log.restart()
  t.ok(log.append(2, 'new'))
  await Promise.all([synced, threads])
  log.cut()
  t.same(log.read(2), [], 'it was not made durable, and is taken back')
})

t.test('a file whose sync is under way stays open until that is done', { skip: !canLimitFiles() }, async (t) => {
  const { path, log } = open(t)
  t.ok(log.append(1, 'a'))
  const [before] = openOn(path)
  const threads = Promise.all(Array.from({ length: 8 }, () => pbkdf('x', 'y', 50_000, 32, 'sha512')))
  const synced = sync(log)
  limitFiles(statSync(path).size)
  t.notOk(log.append(1, 'x'.repeat(600_000)), 'there is no room')
  limitFiles()
  t.same(openOn(path), [before], 'its number could become that of another file')
  await t.resolves(Promise.all([synced, threads]))
  t.same(openOn(path), [])
  t.ok(log.append(1, 'b'))
  await sync(log)
  t.same(log.read(1), ['a', 'b'])
})

t.test('a log that cannot be read is none that is empty', async (t) => {
  const path = join(t.testdir(), 'things.db-redo')
  mkdirSync(path)
  t.throws(() => createRedoLog(path).read(1), { code: 'EISDIR' })
})

t.test('texts come back as they were', async (t) => {
  const { path, log } = open(t)
  const texts = [
    '',
    ' ',
    'a\u2028b\u0000c\n',
    '😀'.repeat(100_000),
    JSON.stringify({ ['__proto__']: '\ud800' }),
    'ß'.repeat(300_000)
  ]
  for (const text of texts) t.ok(log.append(1, text))
  t.same(createRedoLog(path).read(1), texts)
  t.notOk(log.append(1, 'x'.repeat(4 * 1024 * 1024)), 'more than there is room for')
  t.notOk(log.append(1, 'ß'.repeat(2 * 1024 * 1024)), 'and not in bytes either')
  t.same(log.read(1), texts)
})
