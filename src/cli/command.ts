import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'

/** One entry of the table in src/cli.ts. */
export interface Command {
  /** Names of its arguments in their order; each is required, and there are no others. */
  arguments?: readonly string[]
  /** `true` for a switch, else the name of its value. */
  options?: Readonly<Record<string, string | true>>
  /** One line that begins with a verb. */
  summary: string
  /** The exit code. What it throws ends as one line on the error output, with exit code 1. */
  run(given: Given): Promise<number>
}

export interface Given {
  arguments: readonly string[]
  /** A string or a boolean each, as the table says; undefined when it was not given. */
  options: Readonly<ReturnType<typeof parseArgs>['values']>
}

/** The command line makes no sense; the usage says what would. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** What the words behind the command's name stand for. @throws UsageError */
export function readArguments(command: Command, words: readonly string[]): Given {
  const names = command.arguments ?? []
  const { values, positionals } = parse(words, optionsOf(command))
  const missing = names[positionals.length]
  if (missing !== undefined) throw new UsageError(`<${missing}> is missing.`)
  const [extra] = positionals.slice(names.length)
  // A URL may hold a password.
  if (extra !== undefined) throw new UsageError(`${extra.replace(/:\/\/.*/s, '://...')} is one argument too many.`)
  return { arguments: positionals, options: values }
}

/** Every command with what it takes, in columns. */
export function usage(commands: ReadonlyMap<string, Command>): string {
  const rows = [...commands].map(([name, command]) => [`${name}${synopsis(command)}`, command.summary] as const)
  const width = Math.max(...rows.map(([left]) => left.length))
  return `Usage: node src/cli.ts <command>\n${rows.map(([left, right]) => `  ${left.padEnd(width)}   ${right}\n`).join('')}`
}

function parse(words: readonly string[], options: ParseArgsOptionsConfig) {
  try {
    return parseArgs({ args: [...words], options, allowPositionals: true })
  } catch (error) {
    // Node adds how to pass an argument that begins with a dash, which no command takes.
    throw new UsageError(error instanceof Error ? error.message.replace(/ To specify .*$/s, '') : String(error))
  }
}

function optionsOf({ options = {} }: Command): ParseArgsOptionsConfig {
  const entries = Object.entries(options)
  return Object.fromEntries(entries.map(([name, value]) => [name, { type: value === true ? 'boolean' : 'string' }]))
}

function synopsis({ arguments: names = [], options = {} }: Command): string {
  const optional = Object.entries(options).map(([name, value]) => ` [--${name}${value === true ? '' : ` <${value}>`}]`)
  return `${names.map((name) => ` <${name}>`).join('')}${optional.join('')}`
}
