import type { Test } from 'tap'

export interface ServerTest<Server> {
  title: string
  /** Why there is no server; undefined if there is one. */
  missing: string | undefined
  start(t: Test): Promise<Server | undefined>
  run(t: Test, server: Server): Promise<void>
}

/** Registers a subtest that needs a server: skipped where that is missing, failed where REQUIRE_SERVERS=1 forbids it. */
export function registerServerTest<Server>(
  t: Test,
  { title, missing, start, run }: ServerTest<Server>
): Promise<unknown> {
  if (missing === undefined) {
    return t.test(title, async (t) => {
      const server = await start(t)
      if (server === undefined) throw new Error('The server was there a moment ago')
      await run(t, server)
    })
  }
  if (process.env.REQUIRE_SERVERS === '1') return t.test(title, async (t) => void t.fail(missing))
  return t.test(title, { skip: missing }, async () => {})
}
