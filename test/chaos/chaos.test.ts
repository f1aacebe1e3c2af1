import t from 'tap'
import { runChaos } from './chaos.ts'
import { expectNoFindings } from './expect.ts'
import { withServers } from './servers.ts'

// Two and a half minutes, most of them spent waiting for leases to run out.
t.setTimeout(1_200_000)

const SEED = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 31))
const SHORT = { seed: SEED, users: 60, thinkMs: 4_000, stormMs: 20_000, outages: 2, storms: 1, calmMs: 18_000 }

void withServers(t, 'three gateways that are killed again and again keep the same books', async (t, servers) =>
  expectNoFindings(t, await runChaos(t, servers, SHORT))
)
