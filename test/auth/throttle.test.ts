import t from 'tap'
import { createThrottle } from '../../src/auth/throttle.ts'
import { createLocalBus } from '../../src/bus/local.ts'
import { AppError } from '../../src/errors.ts'
import { createFakeClock } from '../clock.ts'
import { codeOf } from './parts.ts'

const WINDOW_MS = 15 * 60_000
const right = async () => 'welcome'
const wrong = async () => {
  throw new AppError('invalid_credentials')
}

function parts(limits: { predictionsPerMinute?: number; loginFailures?: number; addressFailures?: number }) {
  const clock = createFakeClock(0)
  const throttle = createThrottle(createLocalBus(clock), { predictionsPerMinute: 0, loginFailures: 0, ...limits })
  const fail = (address: string, username: string) => codeOf(throttle.login(address, username, wrong))
  return { clock, throttle, fail }
}

t.test('so many failures are answered as such, then everything is refused until the window ends', async (t) => {
  const { clock, throttle, fail } = parts({ loginFailures: 3 })
  for (let n = 0; n < 3; n++) t.equal(await fail('1.1.1.1', 'Alice'), 'invalid_credentials')
  t.equal(await fail('1.1.1.1', ' alice'), 'login_rate_limited', 'the same name in another spelling')
  t.equal(await codeOf(throttle.login('1.1.1.1', 'alice', right)), 'login_rate_limited', 'the right password too')
  t.equal(await throttle.login('2.2.2.2', 'alice', right), 'welcome', 'another address')
  t.equal(await throttle.login('1.1.1.1', 'bob', right), 'welcome', 'another user')
  clock.advance(WINDOW_MS)
  t.equal(await throttle.login('1.1.1.1', 'alice', right), 'welcome')
})

t.test('the refusal says when to come back', async (t) => {
  const { throttle, fail } = parts({ loginFailures: 1 })
  await fail('1.1.1.1', 'alice')
  const refusal = await throttle.login('1.1.1.1', 'alice', right).catch((error: unknown) => error)
  const seconds = refusal instanceof AppError ? refusal.params.retryAfterSeconds : undefined
  t.ok(seconds !== undefined && seconds > 0 && seconds <= 900, String(seconds))
})

t.test('an address may fail ten times as often, whatever the names', async (t) => {
  const { throttle, fail } = parts({ loginFailures: 2 })
  for (let n = 0; n < 20; n++) t.equal(await fail('1.1.1.1', `user-${n}`), 'invalid_credentials')
  t.equal(await fail('1.1.1.1', 'user-20'), 'login_rate_limited')
  t.equal(await throttle.login('2.2.2.2', 'user-1', right), 'welcome')
})

t.test('the addresses of one IPv6 network are one client', async (t) => {
  const { throttle, fail } = parts({ loginFailures: 2 })
  t.equal(await fail('2001:db8:0:1::1', 'alice'), 'invalid_credentials')
  t.equal(await fail('2001:db8::1:0:0:0:2', 'alice'), 'invalid_credentials')
  t.equal(await fail('2001:DB8:0:1:ffff::3', 'alice'), 'login_rate_limited')
  t.equal(await throttle.login('2001:db8:0:2::1', 'alice', right), 'welcome', 'the network beside it')
  const spent = () =>
    codeOf(throttle.refresh('fe80::1%eth0', () => Promise.reject(new AppError('invalid_refresh_token'))))
  for (let n = 0; n < 20; n++) await spent()
  t.equal(
    await codeOf(throttle.refresh('fe80::2', async () => right())),
    'login_rate_limited',
    'for refresh tokens too'
  )
})

t.test('successful logins and other failures do not count', async (t) => {
  const { throttle } = parts({ loginFailures: 1 })
  for (let n = 0; n < 50; n++) await throttle.login('1.1.1.1', 'alice', right)
  const outage = async () => {
    throw new AppError('store_unavailable')
  }
  for (let n = 0; n < 5; n++) t.equal(await codeOf(throttle.login('1.1.1.1', 'alice', outage)), 'store_unavailable')
  t.equal(await throttle.login('1.1.1.1', 'alice', right), 'welcome')
})

t.test('guesses sent at once get no more answers than guesses sent one by one', async (t) => {
  const { throttle, fail } = parts({ loginFailures: 5 })
  const guesses = await Promise.all(Array.from({ length: 40 }, () => fail('1.1.1.1', 'alice')))
  t.equal(guesses.filter((code) => code === 'invalid_credentials').length, 5)
  t.equal(await codeOf(throttle.login('1.1.1.1', 'alice', right)), 'login_rate_limited')
})

t.test('a limit of 0 is off', async (t) => {
  const { throttle, fail } = parts({})
  for (let n = 0; n < 300; n++) await fail('1.1.1.1', 'alice')
  t.equal(await fail('1.1.1.1', 'alice'), 'invalid_credentials')
  for (let n = 0; n < 100; n++) await throttle.prediction('u1')
})

t.test('predictions are counted per user and minute', async (t) => {
  const { clock, throttle } = parts({ predictionsPerMinute: 2 })
  await throttle.prediction('u1')
  await throttle.prediction('u1')
  t.equal(await codeOf(() => throttle.prediction('u1')), 'rate_limited')
  t.equal(await codeOf(() => throttle.prediction('u2')), undefined)
  clock.advance(60_000)
  t.equal(await codeOf(() => throttle.prediction('u1')), undefined)
})

t.test('refused refresh tokens count per address, and a good one is never lost', async (t) => {
  const { clock, throttle, fail } = parts({ loginFailures: 1 })
  const refused = async () => {
    throw new AppError('invalid_refresh_token')
  }
  const refresh = (address: string, exchange: () => Promise<unknown>) => codeOf(throttle.refresh(address, exchange))
  const slow = Promise.withResolvers<string>()
  const underWay = throttle.refresh('1.1.1.1', () => slow.promise)
  for (let n = 0; n < 10; n++) t.equal(await refresh('1.1.1.1', refused), 'invalid_refresh_token')
  t.equal(await refresh('1.1.1.1', right), 'login_rate_limited')
  slow.resolve('exchanged')
  t.equal(await underWay, 'exchanged', 'what was exchanged is handed out although the limit was reached meanwhile')
  t.equal(await refresh('2.2.2.2', right), undefined)
  t.equal(await fail('1.1.1.1', 'alice'), 'invalid_credentials', 'logins are counted by themselves')
  clock.advance(WINDOW_MS)
  t.equal(await refresh('1.1.1.1', right), undefined)
})

t.test('where all share one limit elsewhere, an address gets less than the tenfold', async (t) => {
  const { fail } = parts({ loginFailures: 20, addressFailures: 50 })
  for (let n = 0; n < 50; n++) t.equal(await fail('1.1.1.1', `user-${n}`), 'invalid_credentials')
  t.equal(await fail('1.1.1.1', 'another'), 'login_rate_limited')
})
