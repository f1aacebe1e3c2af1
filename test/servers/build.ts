import { findGo } from './available.ts'
import { buildFerretdb, isStale } from './go-build.ts'
import { framed, missingServers } from './missing.ts'

// Run before and after the suite: `node test/servers/build.ts [--remind]`. Makes the servers of the tests, or says
// which are missing; that alone is no failure, because the rest of the suite needs none.

const PROGRESS_MS = 10_000

const say = (text: string) => void process.stderr.write(text)

async function build(go: string): Promise<void> {
  const startedAt = Date.now()
  const seconds = () => Math.round((Date.now() - startedAt) / 1000)
  say('Building FerretDB, the MongoDB of the tests (the first time two minutes and the network, later seconds) ...\n')
  const progress = setInterval(() => say(`... still building FerretDB, ${seconds()} s\n`), PROGRESS_MS)
  try {
    await buildFerretdb(go)
    say(`FerretDB is built (${seconds()} s).\n`)
  } catch (error) {
    say(`${error instanceof Error ? error.message : String(error)}\n`)
  } finally {
    clearInterval(progress)
  }
}

const go = findGo()
if (!process.argv.includes('--remind') && isStale() && go !== undefined) await build(go)
const missing = missingServers()
if (missing.length > 0) say(framed(missing))
