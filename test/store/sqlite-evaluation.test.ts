import { DatabaseSync } from 'node:sqlite'
import { isDeepStrictEqual } from 'node:util'
import * as fc from 'fast-check'
import t from 'tap'
import { createPathReader } from '../../src/store/checks.ts'
import type { Change, Guard, Scalar } from '../../src/store/port.ts'
import { changed, stepsOf } from '../../src/store/sqlite/changes.ts'
import { conditionsOf, holds } from '../../src/store/sqlite/guards.ts'
import { frozen, memberAt, type Stored } from '../../src/store/sqlite/values.ts'

const RUNS = 3_000
const pathOf = createPathReader()
const db = new DatabaseSync(':memory:')
t.teardown(() => db.close())

const text = fc.constantFrom(
  '',
  'a',
  'b',
  'ab',
  'nul\0a',
  '\ue000',
  '\u{10000}',
  '\u{10001}',
  'x\ud800',
  'x\ud801',
  '1',
  '{}'
)
const number = fc.constantFrom(0, 1, -1, 5, 1.5, -0.5, 1e15, Number.MAX_SAFE_INTEGER)
const scalar: fc.Arbitrary<Scalar> = fc.oneof(text, number, fc.boolean(), fc.constant(null))
const name = fc.constantFrom('a', 'b', 'c', '0', '__proto__', 'constructor', 'a-b:c')
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 2 }),
    fc.array(fc.tuple(name, tie('value')), { maxLength: 3 }).map((members) => Object.fromEntries(members))
  )
}))
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((segments) => segments.join('.'))
const document = fc
  .array(fc.tuple(name, value), { maxLength: 5 })
  .map((members): Stored => frozen(JSON.parse(JSON.stringify({ id: 'd', ...Object.fromEntries(members) }))))
const members = <T>(of: fc.Arbitrary<T>, most = 2): fc.Arbitrary<Record<string, T>> =>
  fc.array(fc.tuple(path, of), { maxLength: most }).map((pairs) => Object.fromEntries(pairs))
const bound = fc.oneof(text, number)

type Whole = Required<Omit<Change, 'key'>>

/** The same with a key in the place of one name, wherever it is not the first of a path. */
function keyed<T extends object>(asked: T): T {
  const free = (at: string) => at.replaceAll(/\.a(?=\.|$)/g, '.*')
  const parts = Object.entries(asked).map(([kind, given]: [string, object]) => [
    kind,
    Array.isArray(given)
      ? given.map(free)
      : Object.fromEntries(Object.entries(given).map(([at, value]) => [free(at), value]))
  ])
  return { key: 'a', ...Object.fromEntries(parts) }
}

/** The paths that are not whole or parents of earlier ones. */
function disjoint(change: Whole): Whole {
  const taken: string[] = []
  const isFree = (one: string) => {
    if (taken.some((other) => `${one}.`.startsWith(`${other}.`) || `${other}.`.startsWith(`${one}.`))) return false
    taken.push(one)
    return true
  }
  const free = <T>(given: Record<string, T>) => Object.fromEntries(Object.entries(given).filter(([at]) => isFree(at)))
  const { set, inc, max, unset } = change
  return { set: free(set), inc: free(inc), max: free(max), unset: unset.filter(isFree) }
}

/** What SQLite itself makes of an expression over a document. */
function bySqlite(expression: string, doc: Stored, values: (string | number | bigint | null)[]): unknown {
  const sql = `select ${expression} as result from (select ? as doc)`
  return db.prepare(sql).get(...values, JSON.stringify(doc))?.['result']
}

const jsonPath = (at: string) => `'$."${at.split('.').join('"."')}"'`
const json = (given: unknown) => `'${JSON.stringify(given).replaceAll("'", "''")}'`

/** The guard as SQL: the meaning that the store promises. */
function conditionSql({ equal = {}, gte = {}, lt = {}, exists = {} }: Guard): string {
  const typed = (at: string, operator: string, given: Scalar) => {
    const type = `json_type(doc,${jsonPath(at)})`
    if (given === null || typeof given === 'boolean') return `${type} is '${given}'`
    const isRight = typeof given === 'string' ? `${type}='text'` : `${type} in ('integer','real')`
    return `(${isRight} and json_extract(doc,${jsonPath(at)})${operator}json_extract(${json(given)},'$'))`
  }
  const terms = [
    '1',
    ...Object.entries(equal).map(([at, given]) => typed(at, '=', given)),
    ...Object.entries(gte).map(([at, given]) => typed(at, '>=', given)),
    ...Object.entries(lt).map(([at, given]) => typed(at, '<', given)),
    ...Object.entries(exists).map(([at, is]) => `json_type(doc,${jsonPath(at)}) is ${is ? 'not ' : ''}null`)
  ]
  return `coalesce(${terms.join(' and ')}, 0)`
}

/** The change as SQL. */
function changeSql({ set, inc, max, unset }: Whole): string {
  const sets = [
    ...Object.entries(set).map(([at, given]) => [at, `json(${json(given)})`]),
    ...Object.entries(inc).map(([at, by]) => [at, `coalesce(json_extract(doc,${jsonPath(at)}),0)+${by}`]),
    ...Object.entries(max).map(([at, by]) => [at, `max(coalesce(json_extract(doc,${jsonPath(at)}),${by}),${by})`])
  ]
  const removed = unset.length > 0 ? `json_remove(doc,${unset.map(jsonPath).join(',')})` : 'doc'
  const pairs = sets.map(([at = '', sql]) => `${jsonPath(at)},${sql}`)
  return pairs.length > 0 ? `json_set(${removed},${pairs.join(',')})` : removed
}

t.test('a guard holds here exactly where SQLite says that it does', async (t) => {
  const guard = fc.record(
    { equal: members(scalar), gte: members(bound), lt: members(bound), exists: members(fc.boolean()) },
    { requiredKeys: [] }
  )
  let met = 0
  const isAlike = fc.property(document, guard, (doc, asked) => {
    const answer = holds(conditionsOf(asked, pathOf), doc)
    if (answer) met++
    if (answer !== holds(conditionsOf(keyed(asked), pathOf), doc)) return false
    return answer === (bySqlite(conditionSql(asked), doc, []) === 1)
  })
  t.doesNotThrow(() => fc.assert(isAlike, { numRuns: RUNS }))
  t.ok(met > 100 && met < RUNS - 100, `${met} were met`)
})

t.test('every value is compared with every other as SQLite does', async (t) => {
  const all = [...fc.sample(scalar, { numRuns: 300, seed: 1 })]
  const values = [...new Map(all.map((given) => [JSON.stringify(given), given])).values()]
  t.ok(values.length > 15)
  for (const stored of values)
    for (const asked of values) {
      const guards: Guard[] = [{ equal: { a: asked } }]
      if (asked !== null && typeof asked !== 'boolean') guards.push({ gte: { a: asked } }, { lt: { a: asked } })
      for (const guard of guards) {
        const answer = holds(conditionsOf(guard, pathOf), { a: stored })
        const expected = bySqlite(conditionSql(guard), { a: stored }, []) === 1
        if (answer !== expected) t.equal(answer, expected, JSON.stringify([stored, guard]))
      }
    }
})

t.test('a change leaves the document that SQLite would leave', async (t) => {
  const integer = fc.constantFrom(0, 1, -3, 7)
  const change = fc
    .record({
      set: members(value, 3),
      inc: members(integer),
      max: members(number),
      unset: fc.array(path, { maxLength: 3 })
    })
    .map(disjoint)
  let refused = 0
  const isAlike = fc.property(document, change, (doc, asked) => {
    const at = (member: string) => memberAt(doc, pathOf(member)) ?? null
    const steps = stepsOf(asked, pathOf)
    // Only numbers are counted; what is no number is larger than all of them.
    if (Object.keys(asked.inc).some((member) => at(member) !== null && typeof at(member) !== 'number')) {
      refused++
      t.throws(() => changed(doc, steps))
      return true
    }
    const max = Object.fromEntries(
      Object.entries(asked.max).filter(([member]) => at(member) === null || typeof at(member) === 'number')
    )
    const before = JSON.stringify(doc)
    const after = changed(doc, steps)
    if (!isDeepStrictEqual(changed(doc, stepsOf(keyed(asked), pathOf)), after)) return false
    const expected = JSON.parse(String(bySqlite(changeSql({ ...asked, max }), doc, [])))
    return isDeepStrictEqual(JSON.parse(JSON.stringify(after)), expected) && JSON.stringify(doc) === before
  })
  t.doesNotThrow(() => fc.assert(isAlike, { numRuns: RUNS }))
  t.ok(refused > 20)
})

t.test('what was given for a change may be changed afterwards', async (t) => {
  const list = [1, { x: -0 }]
  const set: Record<string, unknown> = { list, when: new Date(0), none: Number.NaN }
  const steps = stepsOf({ set }, pathOf)
  list.push(2)
  set['list'] = 'gone'
  const after = changed(Object.freeze({ id: 'a' }), steps)
  t.strictSame(after, { id: 'a', list: [1, { x: 0 }], when: '1970-01-01T00:00:00.000Z', none: null })
  t.ok(Object.isFrozen(after) && Object.isFrozen(after['list']))
})
