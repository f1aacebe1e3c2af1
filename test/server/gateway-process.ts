import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../..')

export interface GatewayProcess {
  child: ChildProcess
  stdout(): string
  stderr(): string
  /** Resolves with the base URL when the process listens; rejects with its output when it ends before. */
  listening: Promise<string>
  /** Exit code, or the signal that ended it. */
  exit: Promise<number | string | null>
}

/** Starts `node <script>` with exactly this environment; killed at the end of the test if it still runs. */
export function startProcess(
  t: { teardown(fn: () => void): void },
  env: Record<string, string>,
  script = ['src/server.ts']
): GatewayProcess {
  const child = spawn(process.execPath, script, { cwd: ROOT, env: { PATH: process.env.PATH ?? '', ...env } })
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
  const listening = new Promise<string>((resolve, reject) => {
    child.stdout.on('data', () => {
      const port = /"msg":"listening on http:\/\/[^"]*:(\d+)"/.exec(out)?.[1]
      // The banner is printed after that line, and says what tests read.
      if (port !== undefined && out.includes('\n\n')) resolve(`http://127.0.0.1:${port}`)
      else if (port !== undefined && env.NODE_ENV === 'production') resolve(`http://127.0.0.1:${port}`)
    })
    exit.then((code) => reject(new Error(`ended with ${code}: ${out}${err}`)))
  })
  // Whoever does not ask for it must not be told by an unhandled rejection.
  listening.catch(() => {})
  return { child, stdout: () => out, stderr: () => err, listening, exit }
}
