import { pbkdf2 } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { createRedoLog, following, type RedoLog } from '../../src/store/sqlite/redo-log.ts'
import { canLimitFiles, limitFiles } from './file-limit.ts'

const pbkdf = promisify(pbkdf2)

function open(t: Test, path = join(t.testdir(), 'things.db-redo')) {
  const log = createRedoLog(path)
  t.teardown(() => log.close(false))
  log.read()
  return { path, log }
}

/** Adds these in order, behind as many as there are. */
function append(log: RedoLog, texts: string[], behind = 0): boolean[] {
  return texts.map((text, index) => log.append(behind + index + 1, text))
}

function textsIn(log: RedoLog): string[] {
  return log.read().map(({ text }) => text)
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
  t.same(append(log, ['lost 1', 'lost 2', 'lost 3'], 1), [true, true, true])
  log.cut()
  t.same(textsIn(log), ['kept'])
  t.ok(log.append(2, 'next 1'), 'as long as what was there')
  t.same(textsIn(log), ['kept', 'next 1'])
  t.ok(readFileSync(path).includes('lost 3'), 'which is whole')
  t.ok(log.append(3, 'next 2'))
  t.same(createRedoLog(path).read(), [
    { number: 1, text: 'kept' },
    { number: 2, text: 'next 1' },
    { number: 3, text: 'next 2' }
  ])
})

t.test('what a crash has left behind a torn record does not return behind the next one', async (t) => {
  const { path, log } = open(t)
  append(log, ['whole', 'torn', 'late'])
  log.close(false)
  const bytes = readFileSync(path)
  bytes[bytes.indexOf('torn')] = 0
  writeFileSync(path, bytes)
  const { log: after } = open(t, path)
  t.same(textsIn(after), ['whole'])
  t.ok(after.append(2, 'same'))
  t.same(textsIn(after), ['whole', 'same'])
})

t.test('who begins anew shows nothing of what was there before', async (t) => {
  const { log } = open(t)
  append(log, ['a', 'b', 'c'])
  log.restart()
  t.notOk(log.isUsed())
  t.ok(log.append(4, 'd'))
  t.same(log.read(), [{ number: 4, text: 'd' }])
  log.restart()
  log.wipe()
  t.same(log.read(), [], 'not even that')
})

t.test('records go on by one, up to the last number that there is', async (t) => {
  const { log } = open(t)
  const last = 2 ** 31 - 1
  for (const number of [last - 1, last, 0, 1, 3]) t.ok(log.append(number, String(number)))
  t.same(textsIn(log), [String(last - 1), String(last), '0', '1'])
  t.same([last - 1, last].map(following), [last, 0])
})

t.test('a sync from before says nothing of what is written in its place', async (t) => {
  const { log } = open(t)
  t.ok(log.append(1, 'old'.repeat(20)))
  const threads = Promise.all(Array.from({ length: 8 }, () => pbkdf('x', 'y', 50_000, 32, 'sha512')))
  const synced = sync(log)
  log.restart()
  t.ok(log.append(2, 'new'))
  await Promise.all([synced, threads])
  log.cut()
  t.same(log.read(), [], 'it was not made durable, and is taken back')
})

t.test('a file whose sync is under way stays open until that is done', { skip: !canLimitFiles() }, async (t) => {
  const { path, log } = open(t)
  t.ok(log.append(1, 'a'))
  const [before] = openOn(path)
  const threads = Promise.all(Array.from({ length: 8 }, () => pbkdf('x', 'y', 50_000, 32, 'sha512')))
  const synced = sync(log)
  limitFiles(statSync(path).size)
  t.notOk(log.append(2, 'x'.repeat(600_000)), 'there is no room')
  limitFiles()
  t.same(openOn(path), [before], 'its number could become that of another file')
  await t.resolves(Promise.all([synced, threads]))
  t.same(openOn(path), [])
  t.ok(log.append(2, 'b'))
  await sync(log)
  t.same(textsIn(log), ['a', 'b'])
})

t.test('a log that cannot be read is none that is empty', async (t) => {
  const path = join(t.testdir(), 'things.db-redo')
  mkdirSync(path)
  t.throws(() => createRedoLog(path).read(), { code: 'EISDIR' })
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
  t.notOk(append(log, texts).includes(false))
  t.same(textsIn(createRedoLog(path)), texts)
  t.notOk(log.append(7, 'x'.repeat(4 * 1024 * 1024)), 'more than there is room for')
  t.notOk(log.append(7, 'ß'.repeat(2 * 1024 * 1024)), 'and not in bytes either')
  t.same(textsIn(log), texts)
})
