import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { connect, createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { Probe } from './probe.ts'
import { type Ask, createAsk, type Methods } from './rpc.ts'

const ROOT = join(import.meta.dirname, '..')
const PROBE = join(import.meta.dirname, 'probe.ts')
const START_MS = 20_000
const TASKSET = '/usr/bin/taskset'

/** `measured` has a core to itself; the load and the stand-in for Flowise share the other one. */
export type Core = 'measured' | 'load'

export interface ProcessOptions {
  /** Below the project's folder. */
  script: string
  args?: string[]
  core: Core
  /** All of its environment. */
  env?: Record<string, string>
  execArgv?: string[]
}

export interface BenchProcess<M extends Methods<M> = Probe> {
  readonly child: ChildProcess
  readonly ask: Ask<M & Probe>
  /** Ends it the way an operator would; resolves when it is gone. */
  stop(): Promise<void>
}

/** True if processes can be kept on a core of their own here. */
export function canPin(): boolean {
  return existsSync(TASKSET) && availableParallelism() > 1
}

/** Starts a script with the Node that runs the benchmark; its standard output is thrown away, as a log that costs nothing to keep. */
export function startProcess<M extends Methods<M>>(options: ProcessOptions): BenchProcess<M> {
  const { script, args = [], core, env = {}, execArgv = [] } = options
  const node = [process.execPath, ...execArgv, '--import', PROBE, join(ROOT, script), ...args]
  const [command = '', ...rest] = canPin() ? [TASKSET, '--cpu-list', core === 'measured' ? '0' : '1', ...node] : node
  const child = spawn(command, rest, { cwd: ROOT, env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  return {
    child,
    ask: createAsk<M & Probe>(child),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
  }
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('The probe for a free port got no port.')
  return address.port
}

/** Resolves when somebody listens; @throws when the process ends before, or takes too long */
export async function whenListening({ child }: Pick<BenchProcess, 'child'>, port: number): Promise<void> {
  const until = performance.now() + START_MS
  while (performance.now() < until) {
    if (child.exitCode !== null) throw new Error(`A process ended with ${child.exitCode} before it listened.`)
    if (await accepts(port)) return
    await pause(20)
  }
  throw new Error(`Nobody listened on port ${port} within ${START_MS} ms.`)
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
