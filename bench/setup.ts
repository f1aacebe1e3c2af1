import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Installation, install } from './gateway.ts'
import type { Generator } from './load/generator.ts'
import { openMongo } from './mongo/server.ts'
import { type BenchProcess, freePort, startProcess, whenListening } from './process.ts'
import type { Say } from './rounds.ts'
import type { Bench } from './suites/suite.ts'

const usersOf = (isQuick: boolean): number => (isQuick ? 16 : 64)
const MONGO_USERS = 16

/** What suites share; what takes long is made when it is first asked for. */
export interface Setup {
  readonly bench: Bench
  /** Gone at the end, with all that is in it. */
  readonly folder: string
  readonly upstreamUrl: string
  readonly isQuick: boolean
  readonly say: Say
  /** Where npm has installed Portkey's gateway, if that was said. */
  readonly portkey: string | undefined
  /** A gateway on SQLite with users. */
  installation(): Promise<Installation>
  /** The same on MongoDB; undefined where there is no server. */
  mongoInstallation(): Promise<Installation | undefined>
}

export interface SetupOptions {
  isQuick: boolean
  portkey: string | undefined
  say: Say
}

/** Everything is started here and nothing is left behind: processes, folders, ports, databases. */
export async function withSetup<T>(options: SetupOptions, use: (setup: Setup) => Promise<T>): Promise<T> {
  const { isQuick, say } = options
  const folder = await mkdtemp(join(tmpdir(), 'gateway-bench-'))
  const port = await freePort()
  const upstream: BenchProcess = startProcess({ script: 'bench/upstream.ts', args: [String(port)], core: 'load' })
  const load = startProcess<Generator>({ script: 'bench/load/generator.ts', core: 'load' })
  const upstreamUrl = `http://127.0.0.1:${port}`
  const closing: (() => Promise<void>)[] = [() => upstream.stop(), () => load.stop()]
  try {
    await whenListening(upstream, port)
    return await use({
      ...options,
      bench: { ask: load.ask, askUpstream: upstream.ask, isQuick },
      folder,
      upstreamUrl,
      installation: once(() => {
        say('A gateway is installed, with its users')
        return install(folder, upstreamUrl, usersOf(isQuick))
      }),
      mongoInstallation: once(async () => {
        const mongo = await openMongo(folder)
        if (mongo === undefined) return undefined
        closing.push(mongo.close)
        say('A gateway is installed on MongoDB')
        return install(folder, upstreamUrl, MONGO_USERS, mongo.place)
      })
    })
  } finally {
    for (const close of closing.toReversed()) await close()
    await rm(folder, { recursive: true, force: true })
  }
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    made ??= make()
    return made
  }
}
