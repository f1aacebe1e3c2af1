import t from 'tap'
import { createKeeper } from '../../src/history/keeper.ts'

/** What has settled of these promises, after all that follows from it. */
async function settledOf(promises: Record<string, Promise<unknown>>): Promise<string[]> {
  const settled: string[] = []
  for (const [name, promise] of Object.entries(promises))
    void promise.then(
      () => settled.push(name),
      () => settled.push(`${name} failed`)
    )
  await new Promise((resolve) => void setImmediate(resolve))
  return settled.toSorted()
}

t.test(
  'a charge may follow at once where the order is kept, and only where the whole is asked for at once',
  async (t) => {
    for (const [isInOrder, hasPart, ahead] of [
      [true, false, true],
      [true, true, false],
      [false, false, false]
    ] as const) {
      const keeper = createKeeper({ storePart: async () => {}, isInOrder })
      if (hasPart) await keeper.keep()
      const stored = Promise.withResolvers<void>()
      const finished = keeper.finish(
        () => stored.promise,
        async () => {}
      )
      const { first, durable } = keeper
      t.same(await settledOf({ ahead: keeper.ahead, first, durable }), ahead ? ['ahead'] : [])
      stored.resolve()
      await finished
      t.same(await settledOf({ ahead: keeper.ahead, first, durable }), ['ahead', 'durable', 'first'])
    }
  }
)

t.test('an answer that cannot be stored at first is durable later', async (t) => {
  const keeper = createKeeper({ storePart: async () => {}, isInOrder: false })
  const later = Promise.withResolvers<void>()
  await keeper.finish(
    async () => {
      throw new Error('the disk is full')
    },
    () => later.promise
  )
  const { ahead, first, durable } = keeper
  t.same(await settledOf({ ahead, first, durable }), ['ahead failed', 'first failed'])
  await t.rejects(keeper.keep(), 'no part comes after the whole')
  later.resolve()
  t.same(await settledOf({ ahead, first, durable }), ['ahead failed', 'durable', 'first failed'])
  await keeper.keep()
})
