import t from 'tap'
import { readRedisAddress } from '../../src/bus/redis-address.ts'

t.test('an address is read whole', async (t) => {
  const table: [string, string, Record<string, unknown>][] = [
    ['redis://localhost', 'localhost:6379', { host: 'localhost', port: 6379, db: 0 }],
    ['redis://h:6380/3', 'h:6380', { host: 'h', port: 6380, db: 3 }],
    ['redis://h/', 'h:6379', { host: 'h', port: 6379, db: 0 }],
    ['redis://:p%40ss@h', 'h:6379', { host: 'h', port: 6379, db: 0, password: 'p@ss' }],
    ['redis://u:p@h', 'h:6379', { host: 'h', port: 6379, db: 0, username: 'u', password: 'p' }],
    ['rediss://[::1]:1', '[::1]:1', { host: '::1', port: 1, db: 0, tls: {} }]
  ]
  for (const [url, name, options] of table) {
    const address = readRedisAddress(url)
    t.equal(address.name, name)
    t.strictSame(address.options, options, url)
  }
})

t.test('what is no address is refused without a word of it', async (t) => {
  for (const url of [
    'redis://',
    'redis:///1',
    'redis://:secret@h/one',
    'redis://:%zz@h',
    'redis://h?db=1',
    'redis://h#x'
  ])
    t.throws(() => readRedisAddress(url), { message: /^REDIS_URL cannot be used: it must be [^%#]+$/ }, url)
})

t.test('a reason is one line without the password', async (t) => {
  const { reasonOf } = readRedisAddress('redis://:p%40ss@h')
  t.equal(reasonOf(Object.assign(new Error('connect p@ss'), { code: 'ECONNREFUSED' })), 'ECONNREFUSED')
  t.equal(
    reasonOf(new Error("ERR unknown command 'HELLO', with args: 'p@ss'\r\n x")),
    "ERR unknown command 'HELLO', with args: '***' x"
  )
  t.equal(reasonOf('text'), 'text')
  t.equal(reasonOf(undefined), 'undefined')
  t.ok(reasonOf(new Error('x'.repeat(10_000))).length <= 200)
})
