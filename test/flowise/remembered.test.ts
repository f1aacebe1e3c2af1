import t from 'tap'
import { createRemembered } from '../../src/flowise/remembered.ts'
import { createFakeClock } from '../clock.ts'

t.test('what was said is remembered until its time is over', async (t) => {
  const clock = createFakeClock(0)
  const asked: string[] = []
  const lookup = async (key: string) => `${key}${asked.push(key)}`
  const remembered = createRemembered({ clock, ttlMs: 1000, maxEntries: 2, lookup })
  t.equal(await remembered('a'), 'a1')
  clock.advance(999)
  t.equal(await remembered('a'), 'a1')
  clock.advance(1)
  t.equal(await remembered('a'), 'a2')
  await remembered('b')
  await remembered('c')
  t.equal(await remembered('a'), 'a5', 'the oldest made room')
  t.same(asked, ['a', 'a', 'b', 'c', 'a'])
})

t.test('calls at the same time share one look-up, and a failure is that of nobody else', async (t) => {
  const clock = createFakeClock(0)
  let asked = 0
  const answer = Promise.withResolvers<string>()
  const remembered = createRemembered({
    clock,
    ttlMs: 1000,
    maxEntries: 2,
    lookup: async () => (++asked === 1 ? answer.promise : 'second'),
    isKept: (value) => value !== 'second'
  })
  const together = Promise.allSettled([remembered('a'), remembered('a'), remembered('a')])
  answer.reject(new Error('away'))
  t.ok((await together).every(({ status }) => status === 'rejected'))
  t.equal(asked, 1)
  t.equal(await remembered('a'), 'second')
  t.equal(await remembered('a'), 'second')
  t.equal(asked, 3, 'what is not kept is asked for again')
})
