import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { findProgram } from '../servers/available.ts'

/** Starts the Node that runs this with these arguments and exactly this environment; it ends with this process, however that ends. */
export function startScript(args: string[], env: Record<string, string> = {}): ChildProcess {
  const setpriv = findProgram('setpriv')
  const line = [process.execPath, ...args]
  const [program = '', ...rest] = setpriv === undefined ? line : [setpriv, '--pdeathsig', 'KILL', ...line]
  return spawn(program, rest, {
    cwd: tmpdir(),
    env: { PATH: process.env.PATH ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
}

/** Ends it, unless it has ended, and resolves when it has. */
export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  // One that is halted would not hear of it.
  child.kill('SIGCONT')
  child.kill(signal)
  await ended
}

/** A port that nobody listens on, below those that the system gives to whoever asks for any. */
export async function findPort(): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 8_000)
    const server = createServer()
    try {
      await once(server.listen(port, '127.0.0.1'), 'listening')
      return port
    } catch {
      // Taken: another one.
    } finally {
      server.close()
    }
  }
}
