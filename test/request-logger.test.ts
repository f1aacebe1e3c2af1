import pino from 'pino'
import t from 'tap'
import { createLineStream } from '../src/logger.ts'
import { RequestLogger } from '../src/request-logger.ts'

function open(level: string, options: { level?: string } = {}) {
  const lines: Record<string, unknown>[] = []
  let made = 0
  const onChild = () => {
    made++
  }
  const parent = pino({ level, onChild }, { write: (line) => void lines.push(JSON.parse(line)) })
  return { lines, made: () => made, log: new RequestLogger(parent, { request_id: 'r1' }, options) }
}

t.test('the logger of a request says whose it is', async (t) => {
  const { lines, log, made } = open('trace')
  t.equal(made(), 0)
  log.info({ a: 1 }, 'said %s', 'so')
  for (const level of ['fatal', 'error', 'warn', 'debug', 'trace', 'silent'] as const) log[level]('text')
  log.child({ part: 'x' }).warn('child')
  t.match(lines[0], { request_id: 'r1', a: 1, msg: 'said so', level: 30 })
  t.strictSame(
    lines.map(({ level }) => level),
    [30, 60, 50, 40, 20, 10, 40]
  )
  t.match(lines.at(-1), { request_id: 'r1', part: 'x' })
  t.equal(made(), 2)
})

t.test('what nobody wants to read costs no logger; a route and a request can have levels of their own', async (t) => {
  const quiet = open('warn')
  quiet.log.debug('no')
  t.equal(quiet.made(), 0)
  t.equal(quiet.log.level, 'warn')
  quiet.log.level = 'debug'
  quiet.log.debug('yes')
  t.match(quiet.lines, [{ msg: 'yes', request_id: 'r1' }])
  const route = open('info', { level: 'error' })
  t.equal(route.log.level, 'error')
  route.log.info('no')
  t.strictSame(route.lines, [])
})

t.test('the lines of a turn are written at once, and at the end when asked', async (t) => {
  const written: string[] = []
  const { write, flushSync } = createLineStream({ write: (text) => void written.push(text) })
  write('one\n')
  write('two\n')
  t.strictSame(written, [])
  await new Promise<void>((resolve) => void setImmediate(resolve))
  write('three\n')
  flushSync()
  flushSync()
  t.strictSame(written, ['one\ntwo\n', 'three\n'])
})
