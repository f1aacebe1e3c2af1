import t from 'tap'
import { createIds, derivedRunId, runIdOf } from '../src/ids.ts'

const ORDERED = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

t.test('ordered ids are UUIDs of version 7, each greater than the one before', async (t) => {
  let now = 1_700_000_000_000
  const ids = createIds(() => now)
  const made: string[] = []
  // More than a millisecond can count, a clock that goes on, and one that is set back.
  for (const at of [now, now + 1, now + 5, now - 1000]) {
    now = at
    for (let count = 0; count < 5000; count++) made.push(ids.ordered())
  }
  t.ok(made.every((id) => ORDERED.test(id)))
  t.same(made.toSorted(), made)
  t.equal(new Set(made).size, made.length)
  t.equal(Number.parseInt(made[0]?.replaceAll('-', '').slice(0, 12) ?? '', 16), 1_700_000_000_000)
})

t.test('the run of an ordered message keeps its order and is found by the message alone', async (t) => {
  const ids = createIds()
  const messages = Array.from({ length: 2000 }, () => ids.ordered())
  const runs = messages.map(runIdOf)
  t.ok(runs.every((run) => /^[a-z2-7]{26}$/.test(run)))
  t.same(runs.toSorted(), runs)
  t.equal(new Set(runs).size, runs.length)
  t.same(messages.map(runIdOf), runs)
})

t.test('of any other text it is what it always was', async (t) => {
  for (const text of ['0b6e4f9e-1d8c-4b7a-9a51-2f6f1c0d9e11', 'made by hand', '', ids7().toUpperCase()])
    t.equal(runIdOf(text), derivedRunId('run', text))
  t.equal(derivedRunId('a', 'b'), derivedRunId('a', 'b'))
  t.not(derivedRunId('a', 'b'), derivedRunId('ab'))
})

t.test('the others are UUIDs of version 4, each digit of which is by chance', async (t) => {
  const ids = createIds()
  const made = Array.from({ length: 5000 }, () => ids.uuid())
  t.ok(made.every((id) => /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)))
  t.equal(new Set(made).size, made.length)
  const digits = made.map((id) => id.replaceAll('-', ''))
  const values = Array.from({ length: 32 }, (_, at) => new Set(digits.map((id) => id[at])).size)
  t.same(
    values,
    Array.from({ length: 32 }, (_, at) => (at === 12 ? 1 : at === 16 ? 4 : 16))
  )
})

t.test('nonces do not repeat', async (t) => {
  const ids = createIds()
  const made = new Set(Array.from({ length: 10_000 }, () => ids.run()))
  t.equal(made.size, 10_000)
  for (const run of made) if (!/^[a-z2-7]{26}$/.test(run)) t.fail(run)
})

function ids7(): string {
  return createIds().ordered()
}
