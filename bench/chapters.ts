import { crowdSuite } from './suites/crowd.ts'
import { growthSuite } from './suites/growth.ts'
import { jsonSuite } from './suites/json.ts'
import { memorySuite } from './suites/memory.ts'
import { mongodbSuite } from './suites/mongodb.ts'
import { rejectedSuite } from './suites/rejected.ts'
import { startSuite } from './suites/start.ts'
import { streamSuite } from './suites/streams.ts'
import type { Suite } from './suites/suite.ts'
import { tripsSuite } from './suites/trips.ts'

/** A section of docs/benchmarks.md that a run writes. */
export interface Chapter {
  /** In the marks around it. */
  name: string
  /** By the names that `--only` takes. */
  suites: Record<string, Suite>
  /** Instead of everything, where none of its candidates can be had. */
  without: string
}

const json: Chapter = {
  name: 'json',
  suites: { json: jsonSuite, rejected: rejectedSuite, start: startSuite },
  without: ''
}
const mongodb: Chapter = {
  name: 'mongodb',
  suites: { mongodb: mongodbSuite, trips: tripsSuite },
  without:
    'Not measured: there was no MongoDB. `node test/servers/build.ts` builds FerretDB, which speaks its protocol, and TEST_MONGODB_URL names another server.'
}
const sse: Chapter = {
  name: 'sse',
  suites: { streams: streamSuite, memory: memorySuite, crowd: crowdSuite },
  without: ''
}
const growth: Chapter = { name: 'growth', suites: { growth: growthSuite }, without: '' }

/** What `node bench/run.ts <command>` measures. */
export const commands: Record<string, Chapter[]> = { json: [json, mongodb], sse: [sse], growth: [growth] }
