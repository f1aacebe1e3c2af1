import t from 'tap'
import { createIds } from '../../src/ids.ts'
import type { ChatflowRow } from '../../src/store/collections.ts'
import { allOf, pagesOf } from '../../src/store/collect.ts'
import { openTempStore } from '../temp-store.ts'

t.test('pages hold every row once, in the order of the query, and only the last one is shorter', async (t) => {
  const rows = openTempStore(t).collection<Pick<ChatflowRow, 'id' | 'name' | 'createdAt'>>('chatflows')
  const ids = createIds()
  const newest = { by: 'createdAt', direction: 'desc' } as const
  const sizes: number[][] = []
  for (let count = 0; count <= 5; count++) {
    const pages = []
    for await (const page of pagesOf(rows, { order: newest, limit: 2 })) pages.push(page)
    sizes.push(pages.map((page) => page.length))
    t.same(
      pages.flat().map(({ name }) => name),
      Array.from({ length: count }, (_, i) => `n${count - 1 - i}`)
    )
    t.equal((await allOf(rows, { limit: 2 })).length, count)
    t.equal((await allOf(rows, { where: { equal: { name: 'n1' } }, limit: 2 })).length, count > 1 ? 1 : 0)
    await rows.insert({ id: ids.uuid(), name: `n${count}`, createdAt: count })
  }
  t.same(sizes, [[], [1], [2], [2, 1], [2, 2], [2, 2, 1]])
})
