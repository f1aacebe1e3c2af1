import { environment } from './environment.ts'
import { catalogue, type ErrorCode } from './errors.ts'

export const CONFIG_BEGIN = '<!-- config:begin -->'
export const CONFIG_END = '<!-- config:end -->'

interface Variable {
  name: string
  meaning: string
  /** Undefined: the variable is unset by default. */
  initial: string | undefined
}

/** What the documents are made from, besides the schemas of this folder. */
export interface DocumentSources {
  /** The route table with its hooks, as Fastify prints it. */
  routes: string
  openapi: object
  statusOf: (code: ErrorCode) => number
  /** The present README; undefined when there is none. */
  readme: string | undefined
  /** `docs/api-coverage.md`; absent where there are no tests. */
  coverage?: string | undefined
}

/** Path and content of every generated file; what is committed must equal it. */
export function generatedFiles(sources: DocumentSources): Map<string, string> {
  const { routes, openapi, statusOf, readme, coverage } = sources
  const files = new Map([
    ['.env.example', envExample()],
    ['docs/errors.md', errorsDocument(statusOf)],
    ['docs/openapi.json', `${JSON.stringify(openapi, null, 2)}\n`],
    ['docs/routes.txt', `${routes.trimEnd()}\n`]
  ])
  if (coverage !== undefined) files.set('docs/api-coverage.md', coverage)
  if (readme !== undefined) files.set('README.md', withConfigurationTable(readme))
  return files
}

/** `.env.example`: every variable with its meaning and default, commented out. */
export function envExample(): string {
  const lines = variables().flatMap(({ name, meaning, initial }) => ['', `# ${meaning}`, `# ${name}=${initial ?? ''}`])
  return `# Copy to .env and uncomment what you change. An empty variable counts as unset.\n${lines.join('\n')}\n`
}

/** The configuration table of the README, without its markers. */
export function configurationTable(): string {
  const rows = variables().map(({ name, meaning, initial }) => {
    const value = initial === undefined ? 'unset' : `\`${initial}\``
    return `| \`${name}\` | ${value} | ${meaning.replaceAll('|', '\\|')} |`
  })
  return ['| Variable | Default | Meaning |', '|---|---|---|', ...rows].join('\n')
}

/** The README with a fresh table between the markers; unchanged when it has no markers. */
export function withConfigurationTable(readme: string): string {
  const begin = readme.indexOf(CONFIG_BEGIN)
  const end = readme.indexOf(CONFIG_END)
  if (begin < 0 || end < begin) return readme
  return `${readme.slice(0, begin + CONFIG_BEGIN.length)}\n${configurationTable()}\n${readme.slice(end)}`
}

/** `docs/errors.md`: the catalogue with the status of each code. */
export function errorsDocument(statusOf: (code: ErrorCode) => number): string {
  const codes = Object.keys(catalogue) as ErrorCode[]
  const sorted = codes.toSorted((a, b) => statusOf(a) - statusOf(b))
  const rows = sorted.map((code) => `| ${statusOf(code)} | \`${code}\` | ${catalogue[code][1]} |`)
  return [
    '# Errors',
    '',
    'Every error is a problem body (RFC 9457) with one of these codes. Codes are part of the API: they are never renamed.',
    'In a stream that has begun, the code stands in the `error` event, and the status there is what it would have been.',
    '',
    '| Status | Code | Says |',
    '|---|---|---|',
    ...rows,
    ''
  ].join('\n')
}

function variables(): Variable[] {
  return Object.entries(environment.properties).map(([name, schema]) => ({
    name,
    meaning: meaningOf(schema),
    initial: schema.default === undefined ? undefined : String(schema.default)
  }))
}

function meaningOf(schema: { description?: string; enum?: unknown; minimum?: number; maximum?: number }): string {
  const description = schema.description ?? ''
  return Array.isArray(schema.enum) ? `${description} (${schema.enum.join(', ')})` : description
}
