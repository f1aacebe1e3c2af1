import t from 'tap'
import { AppError } from '../../src/errors.ts'
import { createKeyCache } from '../../src/auth/jwks-cache.ts'
import type { VerifyingKey } from '../../src/auth/jwks-keys.ts'
import { createFakeClock } from '../clock.ts'
import { codeOf } from './parts.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const settle = () => new Promise((resolve) => void setImmediate(resolve))

function key(kid: string, algorithm: VerifyingKey['algorithm'] = 'ES256'): VerifyingKey {
  return { kid, algorithm, verify: () => ({}) }
}

/** A cache whose issuer answers what the test says. */
function parts(...first: VerifyingKey[]) {
  const clock = createFakeClock()
  const state = { keys: first, isDown: false, fetches: 0 }
  const errors: unknown[] = []
  const cache = createKeyCache({
    clock,
    onError: (error) => errors.push(error),
    async fetchKeys() {
      state.fetches++
      if (state.isDown) throw new AppError('auth_unavailable')
      return state.keys
    }
  })
  const find = (kid: string | undefined, algorithm: VerifyingKey['algorithm'] = 'ES256') =>
    cache.find({ kid, algorithm })
  return { clock, state, errors, cache, find }
}

t.test('keys are fetched once, by all who come at the same time', async (t) => {
  const one = key('one')
  const { state, find } = parts(one)
  t.strictSame(await Promise.all([find('one'), find('one'), find('one')]), [one, one, one])
  t.equal(await find('one'), one)
  t.equal(state.fetches, 1)
})

t.test('a new key is found by its first token, and made-up ids cause one fetch per minute', async (t) => {
  const { state, clock, find } = parts(key('one'))
  await find('one')
  state.keys = [key('one'), key('two')]
  t.equal((await find('two'))?.kid, 'two', 'rotation')
  for (let n = 0; n < 50; n++) t.equal(await find(`made-up-${n}`), undefined)
  t.equal(state.fetches, 2)
  clock.advance(MINUTE)
  await Promise.all([find('made-up'), find('made-up-too')])
  t.equal(state.fetches, 3)
})

t.test('without an id the only key of the kind is taken, and several are none', async (t) => {
  const { find, state } = parts(key('one'), key('two', 'EdDSA'))
  t.equal((await find(undefined))?.kid, 'one')
  t.equal((await find(undefined, 'EdDSA'))?.kid, 'two')
  t.equal(await find('one', 'EdDSA'), undefined, 'an id does not make up for the wrong kind')
  const fetches = state.fetches
  t.equal(await find(undefined, 'RS256'), undefined)
  t.equal(state.fetches, fetches)
})

t.test('while the issuer is away its keys go on, for a day', async (t) => {
  const one = key('one')
  const { find, state, clock, cache, errors } = parts(one)
  await find('one')
  state.isDown = true
  clock.advance(23 * HOUR)
  t.equal(await find('one'), one, 'and it is asked in the background')
  await settle()
  t.equal(errors.length, 1)
  t.equal(cache.isCurrent(one), true)
  t.equal(await codeOf(find('another')), 'auth_unavailable', 'it may be a new key: nobody can say')
  clock.advance(HOUR)
  t.equal(cache.isCurrent(one), false)
  t.equal(await codeOf(find('one')), 'auth_unavailable')
  const fetches = state.fetches
  for (let n = 0; n < 10; n++) t.equal(await codeOf(find('one')), 'auth_unavailable')
  t.equal(state.fetches, fetches, 'not for each request')
  state.isDown = false
  clock.advance(5 * SECOND)
  t.equal(await find('one'), one, 'back')
})

t.test('a key that was withdrawn is forgotten within minutes', async (t) => {
  const one = key('one')
  const { find, state, clock, cache } = parts(one)
  await find('one')
  state.keys = [key('two')]
  clock.advance(10 * MINUTE)
  await find('one')
  await settle()
  t.equal(cache.isCurrent(one), false)
  t.equal(await find('one'), undefined)
})

t.test('an issuer without keys is asked once per minute, and none of its tokens is good', async (t) => {
  const { find, state, clock } = parts()
  for (let n = 0; n < 5; n++) t.equal(await find('one'), undefined)
  t.equal(state.fetches, 1)
  clock.advance(MINUTE)
  await find('one')
  t.equal(state.fetches, 2)
})
