import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { FERRETDB } from './available.ts'

/** From 1.21 on, Go gets the version that go.mod asks for by itself. Debian 12 has 1.19. */
const FIRST_WITH_TOOLCHAINS = 21
const TOOLCHAIN = 'go1.24.3'
const BUILD_MS = 600_000
const OUTPUT_CHARACTERS = 2_000

/** True if the binary is absent, or older than anything in the folder it is made from. */
export function isStale({ folder, binary }: { folder: string; binary: string } = FERRETDB): boolean {
  const built = statSync(binary, { throwIfNoEntry: false })
  if (built === undefined) return true
  return readdirSync(folder).some((name) => statSync(join(folder, name)).mtimeMs > built.mtimeMs)
}

/** Builds FerretDB with this `go` command; rejects with the end of what Go printed. Takes minutes the first time. */
export async function buildFerretdb(go: string): Promise<void> {
  const compiler = await compilerOf(go)
  mkdirSync(dirname(FERRETDB.binary), { recursive: true })
  // Renamed when whole: a server that runs keeps its file, and two builds at once do no harm.
  const made = `${FERRETDB.binary}.${process.pid}`
  try {
    await run(compiler, ['build', '-buildvcs=false', '-o', made, '.'], FERRETDB.folder)
    renameSync(made, FERRETDB.binary)
  } finally {
    rmSync(made, { force: true })
  }
}

/** This `go`, or a newer one that an old `go` fetches from the module proxy, as new ones do unasked. */
async function compilerOf(go: string): Promise<string> {
  const [version = '', os, architecture] = (await run(go, ['env', 'GOVERSION', 'GOOS', 'GOARCH'])).trim().split('\n')
  const minor = Number(/^go1\.(\d+)/.exec(version)?.[1] ?? FIRST_WITH_TOOLCHAINS)
  if (minor >= FIRST_WITH_TOOLCHAINS) return go
  const module = `golang.org/toolchain@v0.0.1-${TOOLCHAIN}.${os}-${architecture}`
  const { Dir: folder }: { Dir: string } = JSON.parse(await run(go, ['mod', 'download', '-json', module]))
  // Files of a module are never executable.
  const tools = readdirSync(join(folder, 'pkg/tool', `${os}_${architecture}`)).map((name) =>
    join(folder, 'pkg/tool', `${os}_${architecture}`, name)
  )
  const compiler = join(folder, 'bin/go')
  for (const file of [compiler, ...tools]) chmodSync(file, 0o755)
  return compiler
}

/** What a command prints; rejects with the end of its errors. */
async function run(command: string, args: string[], cwd = tmpdir()): Promise<string> {
  const child = spawn(command, args, {
    cwd,
    // Without a C compiler it must build too, and to the same.
    env: { ...process.env, CGO_ENABLED: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: AbortSignal.timeout(BUILD_MS)
  })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const [code, output, errors] = await Promise.all([ended, text(child.stdout), text(child.stderr)])
  if (code === 0) return output
  throw new Error(`${[command, ...args].join(' ')} failed:\n${errors.trim().slice(-OUTPUT_CHARACTERS)}`)
}
