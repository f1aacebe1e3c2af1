import type { Guard } from '../../src/store/port.ts'
import type { Thing, WithThings } from './things.ts'

/** The part of the storage contract about guards and pages. */
export function queryContract(withThings: WithThings): void {
  const stored: Thing = {
    id: 'g',
    name: 'text',
    rank: 5,
    flag: true,
    amount: 0,
    empty: null,
    nested: { n: 1, 'a-b:c_D': 'x', list: [1] },
    half: 1.5
  }
  const guards: [Guard, boolean][] = [
    [{}, true],
    [{ equal: { name: 'text' } }, true],
    [{ equal: { name: 'Text' } }, false],
    [{ equal: { rank: 5, flag: true, half: 1.5 } }, true],
    [{ equal: { rank: 5, flag: false } }, false],
    [{ equal: { flag: 1 } }, false],
    [{ equal: { amount: false } }, false],
    [{ equal: { rank: '5' } }, false],
    [{ equal: { empty: null } }, true],
    [{ equal: { missing: null } }, false],
    [{ equal: { name: null } }, false],
    [{ equal: { nested: '{"n":1}' } }, false],
    [{ equal: { 'nested.n': 1, 'nested.a-b:c_D': 'x' } }, true],
    [{ gte: { rank: 5 } }, true],
    [{ gte: { rank: 6 } }, false],
    [{ gte: { name: 1 } }, false],
    [{ gte: { missing: 0 } }, false],
    [{ gte: { flag: 0 } }, false],
    [{ gte: { name: 'tex' }, lt: { name: 'texu' } }, true],
    [{ lt: { rank: 5 } }, false],
    [{ lt: { rank: 5.5 } }, true],
    [{ lt: { missing: 1 } }, false],
    [{ lt: { empty: 1 } }, false],
    [{ lt: { rank: 'a' } }, false],
    [
      {
        exists: {
          name: true,
          empty: true,
          nested: true,
          missing: false,
          'nested.n': true,
          'nested.m': false,
          'name.n': false
        }
      },
      true
    ],
    [{ exists: { empty: false } }, false],
    [{ exists: { name: true }, gte: { amount: 1 } }, false]
  ]
  withThings('a guard decides alike in update, list, count and remove', async (t, things) => {
    for (const [guard, holds] of guards) {
      const title = JSON.stringify(guard)
      await things.remove('g')
      await things.insert(stored)
      t.equal(await things.update('g', guard, { set: { touched: 1 } }), holds, `update ${title}`)
      t.equal((await things.get('g'))?.['touched'], holds ? 1 : undefined)
      t.equal((await things.list({ where: guard, limit: 10 })).length, holds ? 1 : 0, `list ${title}`)
      t.equal(await things.count(guard), holds ? 1 : 0, `count ${title}`)
      t.equal(await things.remove('g', guard), holds, `remove ${title}`)
    }
    t.equal(await things.update('nobody', {}, { set: { x: 1 } }), false)
    t.equal(await things.remove('nobody'), false)
  })

  withThings('a text that is not well-formed is found by exactly itself', async (t, things) => {
    await things.insert({ id: 'a', name: 'x\ud800' })
    t.equal(await things.count({ equal: { name: 'x\ud801' } }), 0)
    t.equal(await things.count({ equal: { name: 'x\ud800' } }), 1)
    t.equal(await things.insert({ id: 'b', name: 'x\ud801' }), true)
    await things.insert({ id: 'c', name: 'nul\0a' })
    t.equal(await things.count({ equal: { name: 'nul\0b' } }), 0)
    t.equal(await things.count({ equal: { name: 'nul\0a' } }), 1)
  })

  for (const direction of ['asc', 'desc'] as const) {
    withThings(
      `pages in ${direction}ending order hold every row once, also rows without the member`,
      async (t, things) => {
        const ranks = [3, 1, undefined, 2, null, 2, 1, undefined, 3, 2]
        await Promise.all(
          ranks.map((rank, i) => things.insert({ id: `r${i}`, kind: 'k', ...(rank !== undefined && { rank }) }))
        )
        await things.insert({ id: 'other', kind: 'else', rank: 2 })
        const query = { where: { equal: { kind: 'k' } }, order: { by: 'rank', direction } }
        const whole = (await things.list({ ...query, limit: 100 })).map((row) => row.id)
        t.equal(whole.length, 10)
        const expected =
          direction === 'asc'
            ? ['r2', 'r4', 'r7', 'r1', 'r6', 'r3', 'r5', 'r9', 'r0', 'r8']
            : ['r8', 'r0', 'r9', 'r5', 'r3', 'r6', 'r1', 'r7', 'r4', 'r2']
        t.same(whole, expected)
        for (const limit of [1, 2, 3, 7]) {
          const paged: string[] = []
          let page = await things.list({ ...query, limit })
          for (let last = page.at(-1); last; last = page.at(-1)) {
            paged.push(...page.map((row) => row.id))
            page = await things.list({ ...query, limit, after: { value: last.rank ?? null, id: last.id } })
          }
          t.same(paged, expected, `pages of ${limit}`)
        }
      }
    )
  }

  withThings('pages inside a range begin behind the row before them, wherever that is', async (t, things) => {
    await Promise.all(Array.from({ length: 20 }, (_, i) => things.insert({ id: `r${i}`, rank: i })))
    await things.insert({ id: 'none' })
    const where = { gte: { rank: 5 }, lt: { rank: 15 } }
    const ranks = async (direction: 'asc' | 'desc', value: number | null) =>
      (await things.list({ where, order: { by: 'rank', direction }, after: { value, id: 'r' }, limit: 3 })).map(
        ({ rank }) => rank
      )
    t.same(await ranks('asc', null), [5, 6, 7])
    t.same(await ranks('asc', 2), [5, 6, 7])
    t.same(await ranks('asc', 10.5), [11, 12, 13])
    t.same(await ranks('asc', 15), [])
    t.same(await ranks('desc', 17), [14, 13, 12])
    t.same(await ranks('desc', 7.5), [7, 6, 5])
    t.same(await ranks('desc', 4), [])
    t.same(await ranks('desc', null), [])
  })

  withThings('rows inserted while paging neither repeat nor hide the others', async (t, things) => {
    await Promise.all(Array.from({ length: 6 }, (_, i) => things.insert({ id: `r${i}`, rank: i * 10 })))
    const order = { by: 'rank', direction: 'desc' as const }
    const first = await things.list({ order, limit: 3 })
    await things.insert({ id: 'newer', rank: 99 })
    await things.insert({ id: 'r3b', rank: 30 })
    await things.remove('r3')
    const last = first.at(-1)
    const second = await things.list({ order, limit: 3, after: { value: Number(last?.rank), id: String(last?.id) } })
    t.same(
      [...first, ...second].map((row) => row.id),
      ['r5', 'r4', 'r3', 'r2', 'r1', 'r0']
    )
  })

  withThings('without an order, pages go by id', async (t, things) => {
    await Promise.all(['c', 'a', 'd', 'b'].map((id) => things.insert({ id })))
    t.same(
      (await things.list({ limit: 2 })).map((row) => row.id),
      ['a', 'b']
    )
    t.same(
      (await things.list({ limit: 9, after: { value: null, id: 'b' } })).map((row) => row.id),
      ['c', 'd']
    )
    t.same(
      (await things.list({ order: { by: 'id', direction: 'desc' }, limit: 9, after: { value: 'c', id: 'c' } })).map(
        (row) => row.id
      ),
      ['b', 'a']
    )
  })

  withThings('a path may leave a segment to the key', async (t, things) => {
    await things.insert({ id: 'a', nested: { one: { n: 1 } } })
    const is = (key: string, n: number): Guard => ({ key, equal: { 'nested.*.n': n } })
    t.equal(await things.update('a', is('two', 1), { set: { rank: 1 } }), false)
    t.equal(await things.update('a', is('one', 1), { key: 'two', set: { 'nested.*': { n: 1 }, rank: 1 } }), true)
    const more = { key: 'one', inc: { 'nested.*.n': 1 }, max: { 'nested.*.m': 3 }, set: { 'nested.*.o': 'x' } }
    t.strictSame(await things.updated('a', is('two', 1), more), {
      id: 'a',
      nested: { one: { n: 2, m: 3, o: 'x' }, two: { n: 1 } },
      rank: 1
    })
    const gone = { key: 'one', exists: { 'nested.*.n': true }, lt: { 'nested.*.n': 3 }, gte: { 'nested.*.n': 2 } }
    t.equal(await things.update('a', gone, { key: 'one', unset: ['nested.*'] }), true)
    t.equal(await things.remove('a', gone), false)
    t.equal(await things.remove('a', { key: 'one', exists: { 'nested.*': false } }), true)
  })

  withThings('a key that is none is refused', async (t, things) => {
    await things.insert({ id: 'a', nested: { one: 1 } })
    const isThere = { exists: { 'nested.*': true } }
    for (const named of [{}, { key: '' }, { key: '*' }, { key: 'one.two' }, { key: 'a b' }, { key: '$' }]) {
      await t.rejects(things.update('a', { ...named, ...isThere }, { set: { rank: 1 } }), JSON.stringify(named))
      await t.rejects(things.update('a', {}, { ...named, set: { 'nested.*': 1 } }), JSON.stringify(named))
    }
    for (const key of ['id', 'rank', 'amount'])
      await t.rejects(things.update('a', {}, { key, set: { '*': -1 } }), 'the document itself has no keys')
    await t.rejects(things.list({ where: isThere, limit: 1 }), 'a query has none')
    await t.rejects(things.count(isThere))
  })
}
