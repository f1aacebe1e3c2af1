import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { end, findPort, startScript } from './program.ts'

const SERVER = join(import.meta.dirname, '../../src/server.js')
/** Between the end of a process and its next start, as a supervisor waits. */
const PAUSE_MS = 100
const ERROR_LEVEL = 50

/** One of the gateways: a process that is started again whenever it ends. */
export interface Gateway {
  name: string
  url: string
  readonly isListening: boolean
  readonly pid: number | undefined
  /** Resolves when it listens, now or later. */
  listening(): Promise<void>
  kill(): void
  /** SIGSTOP and SIGCONT. */
  pause(): void
  resume(): void
  /** Ends it for good, as an operator would. */
  stop(): Promise<void>
}

/** What became of the processes, besides what was done to them. */
export interface Losses {
  kills: number
  starts: number
  /** Ended before they listened, because the store or Redis was away. */
  refusedStarts: number
  /** Ended by themselves later on: there must be none. */
  crashes: string[]
  /** Lines of the log at level error or above, counted by message. */
  errors: Map<string, number>
}

export interface GatewayOptions {
  name: string
  /** All of its environment but the address. */
  env: Record<string, string>
  execArgv?: string[]
}

/** Starts a gateway and keeps it running. */
export async function startGateway({ name, env, execArgv = [] }: GatewayOptions, losses: Losses): Promise<Gateway> {
  const port = await findPort()
  let child: ChildProcess | undefined
  let isListening = false
  let isStopped = false
  let isDoomed = false
  let listening = Promise.withResolvers<void>()
  const running = keepRunning()

  // A function, because it changes while the loop waits.
  const hasStopped = () => isStopped

  async function keepRunning(): Promise<void> {
    do {
      isDoomed = false
      losses.starts++
      const address = { HOST: '127.0.0.1', PORT: String(port) }
      child = startScript([...execArgv, SERVER], { ...env, ...address })
      const how = await ended(child)
      if (!isDoomed && !isListening) losses.refusedStarts++
      else if (!isDoomed) losses.crashes.push(`${name} ended with ${how}`)
      if (isListening) listening = Promise.withResolvers<void>()
      isListening = false
      await wait(PAUSE_MS)
    } while (!hasStopped())
  }

  /** Reads the log until the process ends; tells how it ended, and the end of what it said outside of the log. */
  async function ended(started: ChildProcess): Promise<string> {
    let said = ''
    started.stderr?.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-2000)
    })
    if (started.stdout) createInterface({ input: started.stdout }).on('line', (line) => read(line, started))
    const [code, signal] = await once(started, 'exit')
    return `${code ?? signal}: ${said}`
  }

  function read(line: string, from: ChildProcess): void {
    if (line.includes('"msg":"listening on ') && from === child) {
      isListening = true
      listening.resolve()
    }
    const level = Number(/^\{"level":(\d+)/.exec(line)?.[1])
    if (!(level >= ERROR_LEVEL)) return
    const { msg = '', err } = JSON.parse(line)
    const text = `${msg}${err?.message ? ` (${err.message})` : ''}`
    losses.errors.set(text, (losses.errors.get(text) ?? 0) + 1)
  }

  return {
    name,
    url: `http://127.0.0.1:${port}`,
    get isListening() {
      return isListening
    },
    get pid() {
      return child?.pid
    },
    listening: () => listening.promise,
    kill() {
      isDoomed = true
      if (child?.kill('SIGKILL')) losses.kills++
    },
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    async stop() {
      isStopped = true
      isDoomed = true
      if (child) await end(child, 'SIGTERM')
      await running
    }
  }
}
