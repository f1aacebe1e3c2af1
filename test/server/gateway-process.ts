import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

const ROOT = join(import.meta.dirname, '../..')

/** A new folder and a free port, so that no two processes meet. */
export const environment = (t: Test, more: Record<string, string> = {}) => ({
  DATA_DIR: join(t.testdir(), 'data'),
  PORT: '0',
  ...more
})

export interface GatewayProcess {
  child: ChildProcess
  stdout(): string
  stderr(): string
  /** Resolves with the base URL when the process listens; rejects with its output when it ends before. */
  listening: Promise<string>
  /** Resolves when this text has been printed. */
  printed(text: string): Promise<void>
  /** Exit code, or the signal that ended it. */
  exit: Promise<number | string | null>
}

/**
 * Starts `node <script>` with exactly this environment, and not in the checkout, where somebody may keep a `.env`;
 * killed at the end of the test if it still runs.
 */
export function startProcess(
  t: Test,
  env: Record<string, string>,
  command: string[] = ['src/server.js'],
  cwd = tmpdir()
): GatewayProcess {
  const [script = '', ...options] = command
  const file = join(ROOT, script)
  const child = spawn(process.execPath, [file, ...options], { cwd, env: { PATH: process.env.PATH ?? '', ...env } })
  t.teardown(() => void child.kill('SIGKILL'))
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk) => {
    out += chunk
  })
  child.stderr.on('data', (chunk) => {
    err += chunk
  })
  const exit = once(child, 'close').then(([code, signal]) => code ?? signal)
  /** Resolves with the first truthy answer of `look`, asked after every output. */
  const seen = async <T>(look: () => T | undefined): Promise<T> => {
    const found = Promise.withResolvers<T>()
    const check = () => {
      const value = look()
      if (value !== undefined) found.resolve(value)
    }
    child.stdout.on('data', check)
    exit.then((code) => found.reject(new Error(`ended with ${code}: ${out}${err}`)), found.reject)
    check()
    return found.promise
  }
  // The port of the log line, once the banner behind it is there too; production may have none.
  const listening = seen(() => {
    const [, scheme, port] = /"msg":"listening on (https?):\/\/[^"]*:(\d+)"/.exec(out) ?? []
    const isWhole = env.NODE_ENV === 'production' || out.includes('\n\n')
    return port !== undefined && isWhole ? `${scheme}://127.0.0.1:${port}` : undefined
  })
  // Whoever does not ask for it must not be told by an unhandled rejection.
  listening.catch(() => {})
  const printed = async (text: string) => {
    await seen(() => (out.includes(text) ? true : undefined))
  }
  return { child, stdout: () => out, stderr: () => err, listening, printed, exit }
}
