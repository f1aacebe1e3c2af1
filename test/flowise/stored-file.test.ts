import { PassThrough } from 'node:stream'
import t from 'tap'
import { readStoredFile } from '../../src/flowise/stored-file.ts'
import { createFakeClock } from '../clock.ts'

const HEAD = Buffer.alloc(4096, 'a')

function start() {
  const clock = createFakeClock()
  const body = new PassThrough()
  const limits = { clock, idleMs: 1000, deadlineMs: 5000, maxBytes: 1_000_000 }
  return { clock, body, reading: readStoredFile(body, limits) }
}

t.test('a file of which a little comes again and again is not waited for without end', async (t) => {
  const { clock, body, reading } = start()
  const failed = t.rejects(reading, { code: 'upstream_timeout' })
  for (let second = 0; second < 6; second++) {
    body.write('a')
    await new Promise((resolve) => void setImmediate(resolve))
    clock.advance(900)
  }
  await failed
  t.ok(body.destroyed)
})

t.test('a reader that stands still keeps no connection', async (t) => {
  const { clock, body, reading } = start()
  body.write(HEAD)
  const { stream } = await reading
  const failed = new Promise((resolve) => void stream.on('error', resolve))
  body.write(Buffer.alloc(200_000))
  await new Promise((resolve) => void setImmediate(resolve))
  clock.advance(1001)
  t.match(await failed, { code: 'upstream_timeout' })
  t.ok(body.destroyed)
})

t.test('a file that ends has no timers left', async (t) => {
  const { clock, body, reading } = start()
  body.end(HEAD)
  const { head, stream } = await reading
  t.same(head, HEAD)
  t.same(await stream.toArray(), [HEAD])
  t.equal(clock.nextAt(), undefined)
})
