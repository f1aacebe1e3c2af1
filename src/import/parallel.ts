/** Writes under way at once: they share transactions of SQLite and flushes of MongoDB. */
const AT_ONCE = 16

/** Does the work for each item, a few at once, begun in their order. After a failure nothing is begun any more. */
export async function inParallel<T>(
  items: Iterable<T> | AsyncIterable<T>,
  work: (item: T) => Promise<void>,
  atOnce = AT_ONCE
): Promise<void> {
  const rest = (async function* all() {
    yield* items
  })()
  let hasFailed = false

  async function workOn(): Promise<void> {
    for (;;) {
      const { value, done } = await rest.next()
      if (done === true || hasFailed) return
      await work(value)
    }
  }

  const workers = Array.from({ length: atOnce }, () =>
    workOn().catch((error: unknown) => {
      hasFailed = true
      throw error
    })
  )
  const ended = await Promise.allSettled(workers)
  await rest.return(undefined)
  for (const end of ended) if (end.status === 'rejected') throw end.reason
}
