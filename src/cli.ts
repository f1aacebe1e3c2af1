import { type Command, readArguments, UsageError, usage } from './cli/command.ts'
import { createAdmin } from './cli/create-admin.ts'
import { doctor } from './cli/doctor.ts'
import { docs, openapi, routes } from './cli/documents.ts'
import { importFromProxy } from './cli/import-proxy.ts'
import { migrate } from './cli/migrate.ts'
import { verify } from './cli/verify.ts'

const COMMANDS = new Map<string, Command>([
  ['create-admin', createAdmin],
  ['verify', verify],
  ['migrate', migrate],
  ['import-proxy', importFromProxy],
  ['doctor', doctor],
  ['routes', routes],
  ['openapi', openapi],
  ['docs', docs]
])
const HELP = ['--help', '-h']

// Whoever reads may have read enough, as `head` does. The rest goes nowhere, and the exit code stays the command's.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

await run(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    if (error instanceof UsageError) process.stderr.write(`\n${usage(COMMANDS)}`)
    process.exitCode = 1
  }
)

/** The exit code of the command. */
async function run([name = 'help', ...words]: string[]): Promise<number> {
  if (name === 'help' || [name, ...words].some((word) => HELP.includes(word))) {
    process.stdout.write(usage(COMMANDS))
    return 0
  }
  const command = COMMANDS.get(name)
  if (!command) throw new UsageError(`There is no command ${name}.`)
  return command.run(readArguments(command, words))
}
