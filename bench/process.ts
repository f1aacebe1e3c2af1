import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { connect, createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { askKernel } from './kernel.ts'
import type { Probe } from './probe.ts'
import { type Ask, createAsk, type Methods } from './rpc.ts'

const ROOT = join(import.meta.dirname, '..')
const PROBE = join(import.meta.dirname, 'probe.ts')
/** Where the gateway keeps it. With it nobody has the compiler of TypeScript in memory for the sake of the probe. */
const COMPILED = join(ROOT, 'node_modules/.cache/compiled')
const START_MS = 60_000
const POLL_MS = 3
const TASKSET = '/usr/bin/taskset'

/** `measured` has a core to itself; the load and the stand-in for Flowise share the other one. */
export type Core = 'measured' | 'load'

export interface ProcessOptions {
  /** Below the project's folder. */
  script: string
  args?: string[]
  core: Core
  /** All of its environment, but for the place of what was compiled. */
  env?: Record<string, string>
  execArgv?: string[]
}

export interface BenchProcess<M extends Methods<M> = Probe> {
  readonly child: ChildProcess
  /** On the clock of `performance.now()`. */
  readonly spawnedAt: number
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
  const line = [process.execPath, ...execArgv, '--import', PROBE, join(ROOT, script), ...args]
  const started = spawnOn(core, line, { NODE_COMPILE_CACHE: COMPILED, ...env }, ['ignore', 'ignore', 'inherit', 'ipc'])
  return { ...started, ask: createAsk<M & Probe>(started.child) }
}

export interface ProgramOptions {
  program: string
  args: string[]
  core: Core
  env?: Record<string, string>
}

/** Starts a program that knows nothing of the benchmark; what it uses is read from the kernel. */
export function startProgram({ program, args, core, env = {} }: ProgramOptions): BenchProcess {
  const started = spawnOn(core, [program, ...args], env, ['ignore', 'ignore', 'ignore'])
  return { ...started, ask: askKernel(started.child.pid ?? 0) }
}

function spawnOn(core: Core, line: string[], env: Record<string, string>, stdio: StdioOptions) {
  const pinned = canPin() ? [TASKSET, '--cpu-list', core === 'measured' ? '0' : '1', ...line] : line
  const [command = '', ...args] = pinned
  const spawnedAt = performance.now()
  const child = spawn(command, args, { cwd: ROOT, env, stdio })
  return {
    child,
    spawnedAt,
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

/** Milliseconds from the start of the process to the first connection that was accepted. @throws when it ends before, or takes too long */
export async function whenListening(process: Pick<BenchProcess, 'child' | 'spawnedAt'>, port: number): Promise<number> {
  const { child, spawnedAt } = process
  while (performance.now() < spawnedAt + START_MS) {
    if (child.exitCode !== null) throw new Error(`A process ended with ${child.exitCode} before it listened.`)
    if (await accepts(port)) return performance.now() - spawnedAt
    await pause(POLL_MS)
  }
  child.kill('SIGKILL')
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
