import { chromium, type Browser } from 'playwright-core'
import type { Test } from 'tap'
import { findChromium } from '../servers/available.ts'
import { registerServerTest } from '../servers/server-test.ts'

/** The browser itself calls nobody: names do not resolve, only the addresses of the test's own servers are reached. */
const ARGUMENTS = ['--disable-gpu', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1']
const START_MS = 60_000

/**
 * Registers a subtest with a headless Chromium of its own. Without one it is skipped, with the reason, or fails where
 * REQUIRE_SERVERS=1 is set.
 */
export function withChromium(
  t: Test,
  title: string,
  run: (t: Test, browser: Browser) => Promise<void>
): Promise<unknown> {
  const program = findChromium()
  return registerServerTest(t, {
    title: `${title} (Chromium)`,
    missing: program === undefined ? 'no Chromium: see the lines of `node test/servers/build.ts`' : undefined,
    start: (t) => startChromium(t, program),
    run
  })
}

async function startChromium(t: Test, executablePath: string | undefined): Promise<Browser | undefined> {
  if (executablePath === undefined) return undefined
  const browser = await chromium.launch({
    executablePath,
    headless: true,
    chromiumSandbox: false,
    args: ARGUMENTS,
    timeout: START_MS
  })
  t.teardown(() => browser.close())
  return browser
}
