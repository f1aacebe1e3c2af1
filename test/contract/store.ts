import type { Test } from 'tap'
import type { Opened, Thing, WithThings } from './things.ts'
import { queryContract } from './store-queries.ts'

/** What every adapter of the storage port keeps. `open` gives a fresh, empty store with contractSpecs for each call. */
export function storeContract(t: Test, name: string, open: (t: Test) => Promise<Opened>): void {
  const withThings: WithThings = (title, check) => {
    void t.test(`${name}: ${title}`, async (t) => {
      const opened = await open(t)
      await check(t, opened.store.collection<Thing>('things'), opened)
    })
  }

  withThings('a document comes back exactly as it was stored', async (t, things, opened) => {
    const thing: Thing = {
      id: 'a/b:"c" \'d\' ü 😀',
      name: 'nul \0 lone \ud800 pair 😀 quote " backslash \\ line \u2028\n',
      flag: false,
      rank: null,
      amount: Number.MAX_SAFE_INTEGER,
      nested: { list: [1, 'two', null, true, { deep: [[]] }], empty: {}, 'any key. at $all': 1.5, '': 0 },
      small: -0.000001
    }
    t.equal(await things.insert(thing), true)
    t.same(await things.get(thing.id), thing)
    const store = await opened.reopen()
    t.strictSame(await store.collection<Thing>('things').get(thing.id), thing)
  })

  withThings('a write that the store cannot take fails alone', async (t, things) => {
    await things.insert({ id: 'known', amount: 1 })
    const deep: unknown = JSON.parse(`${'['.repeat(2000)}${']'.repeat(2000)}`)
    const [before, inserted, updated, behind] = await Promise.allSettled([
      things.insert({ id: 'before' }),
      things.insert({ id: 'deep', deep }),
      things.update('known', {}, { set: { deep } }),
      things.update('known', {}, { inc: { amount: 1 } })
    ])
    t.match([before, behind], [{ value: true }, { value: true }])
    // A store without this limit may take them.
    for (const result of [inserted, updated])
      if (result?.status === 'rejected') t.match(result.reason, { code: 'store_unavailable' })
    t.equal((await things.get('known'))?.amount, 2)
    t.same(await things.get('before'), { id: 'before' })
  })

  withThings('a large document and one with many members survive storing and changing', async (t, things) => {
    const wide = Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`m${i}`, i]))
    t.equal(await things.insert({ id: 'big', text: 'ü'.repeat(3_000_000), wide }), true)
    const set = Object.fromEntries(Array.from({ length: 1200 }, (_, i) => [`wide.m${i}`, `x${i}`]))
    const unset = Array.from({ length: 1200 }, (_, i) => `wide.m${i + 1200}`)
    t.equal(await things.update('big', {}, { set, unset }), true)
    const big = await things.get('big')
    t.equal(String(big?.['text']).length, 3_000_000)
    const left = Object.entries(big?.['wide'] ?? {})
    t.equal(left.length, 1800)
    t.same(left[0], ['m0', 'x0'])
    t.same(left[1799], ['m2999', 2999])
  })

  withThings('an id is taken once', async (t, things) => {
    t.equal(await things.insert({ id: 'a', kind: 'first' }), true)
    t.equal(await things.insert({ id: 'a', kind: 'second' }), false)
    t.equal((await things.get('a'))?.kind, 'first')
    t.equal(await things.get('b'), undefined)
    t.equal(await things.get('lone \ud800'), undefined)
    await t.rejects(things.insert({ id: 'lone \ud800' }))
  })

  withThings(
    'a unique key is taken once, by insert and by update, and a lack of it never collides',
    async (t, things, opened) => {
      t.equal(await things.insert({ id: 'a', name: 'x', left: 'l', right: 'r' }), true)
      t.equal(await things.insert({ id: 'b', name: 'x' }), false)
      t.equal(await things.insert({ id: 'b', left: 'l', right: 'r' }), false)
      t.equal(await things.insert({ id: 'b', left: 'l' }), true)
      t.equal(await things.insert({ id: 'c', left: 'l' }), true)
      t.equal(await things.insert({ id: 'd' }), true)
      t.equal(await things.update('b', {}, { set: { name: 'x' } }), false)
      const append = [{ collection: 'notes', document: { id: 'n' } }]
      t.equal(await things.update('b', {}, { set: { right: 'r' }, inc: { amount: 1 } }, append), false)
      t.equal(await things.insert({ id: 'e', name: 'x' }, append), false)
      t.equal(await opened.store.collection('notes').count({}), 0)
      t.strictSame(await things.get('b'), { id: 'b', left: 'l' })
      t.equal(await things.update('a', {}, { set: { name: 'x' } }), true, 'its own key is no conflict')
      t.equal(await things.update('a', {}, { unset: ['name'] }), true)
      t.equal(await things.update('b', {}, { set: { name: 'x' } }), true)
    }
  )

  withThings('of many that want one unique key at once, one gets it', async (t, things) => {
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, i) => things.insert({ id: `t${i}`, name: 'wanted' }))
    )
    t.equal(results.filter(Boolean).length, 1)
    t.equal(await things.count({}), 1)
  })

  withThings('a change sets, counts, raises and removes', async (t, things) => {
    await things.insert({ id: 'a', rank: 1, flag: true, nested: { keep: 1, drop: 2 } })
    const applied = await things.update(
      'a',
      {},
      {
        set: { name: 'n\0\ud800', flag: null, 'nested.deep.er': [1, { x: true }], kind: 'false' },
        inc: { rank: -3, fresh: 7, 'holds.r1.n': 1 },
        max: { high: 5, 'nested.keep': 9 },
        unset: ['nested.drop', 'nested.missing', 'nowhere.at.all']
      }
    )
    t.equal(applied, true)
    t.strictSame(await things.get('a'), {
      id: 'a',
      rank: -2,
      flag: null,
      nested: { keep: 9, deep: { er: [1, { x: true }] } },
      name: 'n\0\ud800',
      kind: 'false',
      fresh: 7,
      holds: { r1: { n: 1 } },
      high: 5
    })
    await things.update('a', {}, { max: { high: 4 }, inc: { big: Number.MAX_SAFE_INTEGER } })
    const after = await things.get('a')
    t.equal(after?.['high'], 5)
    t.equal(after?.['big'], Number.MAX_SAFE_INTEGER)
  })

  withThings('a change answers the document it leaves, when asked for it', async (t, things, opened) => {
    const notes = opened.store.collection<Thing>('notes')
    const note = (id: string) => [{ collection: 'notes', document: { id } }]
    await things.insert({ id: 'a', name: 'x', amount: 5, rank: 1 }, note('n1'))
    await things.insert({ id: 'b', name: 'y' })
    const change = { inc: { amount: -2 }, set: { 'nested.list': [[1], 'ü\ud800'] }, unset: ['rank'] }
    const left = { id: 'a', name: 'x', amount: 3, nested: { list: [[1], 'ü\ud800'] } }
    t.strictSame(await things.updated('a', { gte: { amount: 5 } }, change, note('n2')), left)
    t.equal(await things.updated('a', { gte: { amount: 5 } }, change, note('n3')), undefined, 'the guard')
    t.equal(await things.updated('c', {}, change, note('n4')), undefined, 'no such document')
    t.equal(await things.updated('b', {}, { set: { name: 'x' } }, note('n5')), undefined, 'a unique key')
    t.equal(await things.updated('lone \ud800', {}, change), undefined)
    await t.rejects(things.updated('a', {}, { inc: { amount: -4 } }))
    t.strictSame(await things.updated('a', {}, { set: { amount: 3 } }), left, 'also when nothing changes')
    t.strictSame(await things.get('a'), left)
    t.same(
      (await notes.list({ limit: 10 })).map(({ id }) => id),
      ['n1', 'n2']
    )
    const counted = await Promise.all(Array.from({ length: 20 }, () => things.updated('b', {}, { inc: { n: 1 } })))
    const seen = counted.map((thing) => Number(thing?.['n'])).sort((one, other) => one - other)
    t.ok(
      seen.every((n, i) => n > i && n <= 20),
      'none answers what was before its change'
    )
  })

  withThings('a change that means nothing certain is refused before it is tried', async (t, things) => {
    await things.insert({ id: 'a' })
    await t.rejects(things.update('a', {}, { set: { 'a.b': 1 }, inc: { a: 1 } }))
    await t.rejects(things.update('a', {}, { set: { a: 1 }, unset: ['a'] }))
    await t.rejects(things.update('a', {}, { set: { id: 'b' } }))
    await t.rejects(things.update('a', {}, { set: { a: undefined } }))
    await t.rejects(things.update('a', {}, { inc: { a: 0.5 } }))
    await t.rejects(things.update('a', {}, { inc: { a: 2 ** 53 } }))
    await t.rejects(things.update('a', {}, { max: { a: Number.NaN } }))
    for (const path of ['', 'a.', '.a', 'a b', "a'", 'a"b', '$', 'ü', 'x'.repeat(129)]) {
      await t.rejects(things.update('a', {}, { set: { [path]: 1 } }), path)
      await t.rejects(things.list({ where: { exists: { [path]: true } }, limit: 1 }), path)
    }
    await t.rejects(things.list({ limit: 0 }))
    await t.rejects(things.list({ limit: 1001 }))
    t.strictSame(await things.get('a'), { id: 'a' })
  })

  withThings('a member that may not become negative does not, whatever the guard forgot', async (t, things, opened) => {
    const notes = opened.store.collection<Thing>('notes')
    await things.insert({ id: 'a', amount: 5 })
    await t.rejects(things.update('a', {}, { inc: { amount: -6 } }, [{ collection: 'notes', document: { id: 'n' } }]))
    await t.rejects(things.insert({ id: 'b', amount: -1 }))
    t.equal((await things.get('a'))?.amount, 5)
    t.equal(await notes.count({}), 0)
  })

  withThings('an append appears if and only if the write applied', async (t, things, opened) => {
    const notes = opened.store.collection<Thing>('notes')
    const note = (id: string) => [{ collection: 'notes', document: { id, thingId: 'a', body: 'ü\ud800' } }]
    t.equal(await things.insert({ id: 'a', rank: 1 }, note('n1')), true)
    t.equal(await things.insert({ id: 'a', rank: 1 }, note('n2')), false)
    t.equal(await things.update('a', { equal: { rank: 2 } }, { set: { rank: 3 } }, note('n3')), false)
    t.equal(
      await things.update('a', { equal: { rank: 1 } }, { set: { rank: 2 } }, [...note('n4'), ...note('n5')]),
      true
    )
    t.same(
      (await notes.list({ limit: 10 })).map((row) => row.id),
      ['n1', 'n4', 'n5']
    )
    t.strictSame(await notes.get('n1'), { id: 'n1', thingId: 'a', body: 'ü\ud800' })
  })

  withThings(
    'what was appended is seen at once, changed and removed by whoever comes next',
    async (t, things, opened) => {
      const notes = opened.store.collection<Thing>('notes')
      for (let i = 0; i < 10; i++) {
        const append = [`a${i}`, `b${i}`, `c.$%${i}`].map((id) => ({
          collection: 'notes',
          document: { id, thingId: `t${i}`, n: i }
        }))
        await things.insert({ id: `t${i}` }, append)
        t.equal(await notes.update(`a${i}`, { equal: { n: i } }, { inc: { n: 1 } }), true)
        t.equal((await notes.get(`c.$%${i}`))?.['n'], i)
        t.equal(await notes.remove(`b${i}`, { equal: { n: i + 1 } }), false)
        t.equal(await notes.remove(`b${i}`, { equal: { n: i } }), true)
        t.equal(await notes.remove(`b${i}`), false)
        t.equal(await notes.get(`b${i}`), undefined)
        t.equal(await notes.update(`b${i}`, {}, { set: { n: 0 } }), false)
        t.equal(await notes.count({ equal: { thingId: `t${i}` } }), 2)
      }
      t.equal(await notes.count({}), 20)
      await opened.store.maintain()
      t.equal((await notes.list({ limit: 100 })).length, 20)
    }
  )

  withThings('a document that goes leaves what it appended', async (t, things, opened) => {
    const notes = opened.store.collection<Thing>('notes')
    await things.insert({ id: 'a' }, [{ collection: 'notes', document: { id: 'n1' } }])
    t.equal(await things.remove('a', { exists: { name: true } }), false)
    t.equal(await things.remove('a'), true)
    t.strictSame(await notes.get('n1'), { id: 'n1' })
    t.equal(await things.insert({ id: 'a' }), true)
  })

  withThings('a document takes more appends than wait for publishing at any time', async (t, things, opened) => {
    await things.insert({ id: 'a', n: 0 })
    const append = (i: number) => [{ collection: 'notes', document: { id: `n${i}` } }]
    const updates = Array.from({ length: 300 }, (_, i) => things.update('a', {}, { inc: { n: 1 } }, append(i)))
    t.equal((await Promise.all(updates)).filter(Boolean).length, 300)
    t.equal(await opened.store.collection('notes').count({}), 300)
    t.strictSame(await things.get('a'), { id: 'a', n: 300 })
  })

  withThings('appending where nobody declared it is a programming fault', async (t, things, opened) => {
    const document = { id: 'n1' }
    await t.rejects(things.insert({ id: 'a' }, [{ collection: 'things', document }]))
    await t.rejects(things.insert({ id: 'a' }, [{ collection: 'nothing', document }]))
    t.equal(await things.get('a'), undefined)
    await things.insert({ id: 'b' })
    await t.rejects(things.update('b', {}, { set: { n: 1 } }, [{ collection: 'things', document }]))
    await t.rejects(opened.store.collection('notes').insert({ id: 'n' }, [{ collection: 'notes', document }]))
    t.strictSame(await things.get('b'), { id: 'b' })
  })

  withThings(
    'a thousand concurrent increments count a thousand, and their guards see each other',
    async (t, things) => {
      await things.insert({ id: 'a', n: 0, left: '300' })
      await things.insert({ id: 'b', amount: 300 })
      const results = await Promise.all(
        Array.from({ length: 1000 }, async () => {
          await things.update('a', {}, { inc: { n: 1 } })
          return things.update('b', { gte: { amount: 1 } }, { inc: { amount: -1 } })
        })
      )
      t.equal((await things.get('a'))?.['n'], 1000)
      t.equal(results.filter(Boolean).length, 300)
      t.equal((await things.get('b'))?.amount, 0)
    }
  )

  withThings(
    'what was acknowledged is there after a reopen, and a closed store is unavailable',
    async (t, things, opened) => {
      await opened.store.ping()
      const under = Promise.all(Array.from({ length: 20 }, (_, i) => things.insert({ id: `t${i}` })))
      const store = await opened.reopen()
      t.equal((await under).filter(Boolean).length, 20, 'close waits for what is under way')
      t.equal(await store.collection<Thing>('things').count({}), 20)
      await t.rejects(things.insert({ id: 'late' }), { code: 'store_unavailable' })
      await t.rejects(things.get('t1'), { code: 'store_unavailable' })
      await t.rejects(opened.store.ping(), { code: 'store_unavailable' })
      await opened.store.close()
    }
  )

  withThings('a collection nobody declared is a programming fault', async (t, _things, opened) => {
    t.throws(() => opened.store.collection('nothing'))
  })

  queryContract(withThings)
}
