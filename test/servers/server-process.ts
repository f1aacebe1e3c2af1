import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'
import { findProgram } from './available.ts'

const START_MS = 30_000
const PROBE_MS = 20
const LOG_CHARACTERS = 4_000
const ATTEMPTS = 5
/** Below the ports that Linux gives to whoever asks for any, so that nobody gets this one while the server is down. */
const PORTS = { from: 20_000, to: 32_000 } as const

export interface ServerCommand {
  name: string
  program: string
  /** Arguments for this port of 127.0.0.1 and this folder. */
  args(port: number, folder: string): string[]
  /** Resolves when the server that listens on this port does its work. */
  probe(port: number): Promise<unknown>
}

/** A server of the test's own that can be killed, started again and halted. */
export interface ServerProcess {
  port: number
  /** Undefined while it is stopped. */
  readonly pid: number | undefined
  /** Ends it, with SIGKILL if no signal is given; resolves when it has ended. */
  stop(signal?: NodeJS.Signals): Promise<void>
  /** Starts it again on the same port and folder, killing it first if it runs; resolves when it answers. */
  restart(): Promise<void>
  /** SIGSTOP: connections stay open, new ones are taken by the kernel, and nothing is answered. */
  pause(): void
  /** SIGCONT. */
  resume(): void
}

/** Starts a server on a free port with a folder of its own; both are gone when the test ends, however it ends. */
export async function startServerProcess(t: Test, command: ServerCommand): Promise<ServerProcess> {
  const folder = mkdtempSync(join(tmpdir(), `gateway-${command.name}-`))
  let child: ChildProcess | undefined
  let port = 0

  async function start(): Promise<void> {
    const started = spawnServer(command, port, folder)
    child = started.child
    await started.ready
  }

  async function stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const ending = child
    child = undefined
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return
    const ended = once(ending, 'exit')
    ending.kill(signal)
    await ended
  }

  t.teardown(async () => {
    await stop()
    rmSync(folder, { recursive: true, force: true })
  })

  for (let attempt = 1; ; attempt++) {
    port = await findFreePort()
    try {
      await start()
      break
    } catch (error) {
      // Between the look at the port and its use somebody else may have taken it.
      if (attempt === ATTEMPTS || !/in use/i.test(String(error))) throw error
    }
  }

  return {
    port,
    get pid() {
      return child?.pid
    },
    stop,
    async restart() {
      await stop()
      await start()
    },
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT')
  }
}

/** `ready` resolves when the server answers, and rejects with the end of its log when it does not. */
function spawnServer({ name, program, args, probe }: ServerCommand, port: number, folder: string) {
  // A test process that is killed runs no teardown: on Linux the kernel then ends its servers.
  const setpriv = findProgram('setpriv')
  const line = [...(setpriv === undefined ? [] : [setpriv, '--pdeathsig', 'KILL']), program, ...args(port, folder)]
  const [file = program, ...rest] = line
  const child = spawn(file, rest, {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', DO_NOT_TRACK: '1' },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let log = ''
  const keep = (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-LOG_CHARACTERS)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  const isOver = new AbortController()
  const timer = setTimeout(() => isOver.abort(new Error(`does not answer within ${START_MS} ms`)), START_MS)
  child.once('close', (code, signal) => isOver.abort(new Error(`ended with ${code ?? signal}`)))
  child.once('error', (error) => isOver.abort(error))
  const ready = answered(port, probe, isOver.signal)
    .catch((error: unknown) => {
      child.kill('SIGKILL')
      throw new Error(`${name} ${error instanceof Error ? error.message : 'failed'}:\n${log}`, { cause: error })
    })
    .finally(() => clearTimeout(timer))
  return { child, ready }
}

/** Resolves when the probe has succeeded; rejects with the reason of the signal. */
async function answered(port: number, probe: ServerCommand['probe'], signal: AbortSignal): Promise<void> {
  const aborted = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  const probed = async () => {
    while (!signal.aborted && !(await isListening(port))) await wait(PROBE_MS)
    if (!signal.aborted) await probe(port)
  }
  await Promise.race([probed(), aborted])
}

async function isListening(port: number): Promise<boolean> {
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

async function findFreePort(): Promise<number> {
  for (;;) {
    const port = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from))
    const server = createServer()
    try {
      await once(server.listen(port, '127.0.0.1'), 'listening')
      return port
    } catch {
      // Taken: the next one.
    } finally {
      server.close()
    }
  }
}
