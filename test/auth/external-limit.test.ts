import t from 'tap'
import { createServiceLimit } from '../../src/auth/external-limit.ts'
import type { HttpReply } from '../../src/auth/http-call.ts'
import { createLocalBus } from '../../src/bus/local.ts'
import { createFakeClock } from '../clock.ts'
import { codeOf } from './parts.ts'

const START = Date.UTC(2026, 0, 1)

function reply(headers: Record<string, string>): HttpReply {
  return { status: 429, header: (name) => headers[name], text: '' }
}

/** Resolves when what was published has arrived. */
const heard = () => new Promise((resolve) => void setImmediate(resolve))

/** What a 429 says, and the seconds that are waited. */
const WAITS: [headers: Record<string, string>, seconds: number][] = [
  [{ 'retry-after': '7' }, 7],
  [{ 'ratelimit-reset': '840' }, 840],
  [{ 'retry-after': '7', 'ratelimit-reset': '840' }, 7],
  [{ 'retry-after': 'soon', 'ratelimit-reset': '12' }, 12],
  [{ 'retry-after': new Date(START + 120_000).toUTCString() }, 120],
  [{ 'retry-after': new Date(START - 120_000).toUTCString() }, 60],
  [{ 'retry-after': '-5', 'ratelimit-reset': 'x' }, 60],
  [{}, 60],
  [{ 'retry-after': '99999999' }, 3600],
  [{ 'retry-after': '9'.repeat(30) }, 60],
  [{ 'retry-after': '0' }, 1]
]

t.test('the wait is what the service says, within reason', async (t) => {
  for (const [headers, seconds] of WAITS) {
    const clock = createFakeClock(START)
    const limit = createServiceLimit(clock, createLocalBus(clock))
    t.equal(await codeOf(() => limit.check()), undefined)
    const { code, params } = limit.reached(reply(headers))
    t.strictSame([code, params.retryAfterSeconds], ['login_rate_limited', seconds], JSON.stringify(headers))
    await heard()
    clock.advance(seconds * 1000 - 1)
    t.equal(await codeOf(() => limit.check()), 'login_rate_limited')
    clock.advance(1)
    t.equal(await codeOf(() => limit.check()), undefined)
  }
})

t.test('every process hears of it, and a shorter wait does not end a longer one', async (t) => {
  const clock = createFakeClock(START)
  const bus = createLocalBus(clock)
  const [one, other] = [createServiceLimit(clock, bus), createServiceLimit(clock, bus)]
  one.reached(reply({ 'retry-after': '100' }))
  await heard()
  t.equal(other.closedUntilAt, START + 100_000)
  other.reached(reply({ 'retry-after': '5' }))
  t.equal(other.closedUntilAt, START + 100_000)
  for (const odd of ['', 'x', '-1', '9'.repeat(20)]) bus.publish('auth-limit', odd)
  await heard()
  t.equal(one.closedUntilAt, START + 100_000, 'messages that are none change nothing')
})
