import { destination, stdSerializers } from 'pino'
import { AppError } from './errors.ts'

const SECRET_MEMBERS = [
  'authorization',
  'cookie',
  'password',
  'passwordHash',
  'secret',
  'apiKey',
  'token',
  'bearer',
  'access_token',
  'refresh_token',
  '["set-cookie"]',
  '["x-api-key"]'
]
/** Keys, tokens and passwords as providers and databases write them into their error texts. */
const SECRET_TEXTS = new RegExp(
  [
    '\\b(?:sk|pk|rk|fgw|fge|key|gsk|hf|gh[opsu]|xox[abprs])[-_][\\w-]{6,}',
    '\\b(?:AIza[\\w-]{6}|AKIA\\w{6})[\\w-]*',
    '\\bBearer\\s+\\S+',
    '\\bBasic\\s+(?:[\\w+/]{16,}|[\\w+/]+=)=*',
    '\\beyJ[\\w-]+\\.[\\w-]+\\.[\\w-]*',
    // Of an address: user and password.
    '(?<=://)[^\\s/@]{1,200}@',
    `(?<=(?:api[-_]?key|password|secret|token)["']?\\s{0,3}[=:]\\s{0,3}["']?)[^\\s"',;&}]+`
  ].join('|'),
  'gi'
)
const MAX_REASON = 500
/** What is looked through of a text: enough for a reason, whatever is taken out of it. */
const MAX_SEARCHED = 4000

/** Options of the JSON log on standard output; members that may hold a secret are blanked at the two upper levels. */
export function loggerOptions(level: string) {
  const nested = SECRET_MEMBERS.map((name) => (name.startsWith('[') ? `*${name}` : `*.${name}`))
  const paths = [...SECRET_MEMBERS, ...nested]
  // Fastify's type wants a stack in every logged error; leaving it out is the point.
  const err = describeError as (error: unknown) => never
  return { level, redact: { paths, censor: '[redacted]' }, serializers: { err } }
}

/** Where the lines of a log go. */
export interface LineStream {
  write(line: string): void
  /** Now, and not at the end of the turn: before the process ends. */
  flushSync(): void
}

/** Writes the lines of one turn of the event loop at once, which costs a fraction of a write for each. */
export function createLineStream(sink: Pick<LineStream, 'write'>): LineStream {
  let lines = ''
  function flushSync(): void {
    if (lines === '') return
    const text = lines
    lines = ''
    sink.write(text)
  }
  return {
    write(line) {
      if (lines === '') setImmediate(flushSync)
      lines += line
    },
    flushSync
  }
}

/** Lines to standard output, the last ones too when the process ends by itself. */
export function standardOutput(): LineStream {
  const stream = createLineStream(destination({ fd: 1, sync: true }))
  process.once('exit', stream.flushSync)
  return stream
}

/**
 * An error for the log. A fault of the gateway keeps its stack; when something behind it failed, the stack says
 * nothing and the reason everything, without keys that its text may quote.
 */
export function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return { reason: masked(String(error)) }
  if (!isDependencyFailure(error)) return stdSerializers.err(error)
  const reasons = new Set<string>()
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) reasons.add(masked(cause.message))
  return { code: error.code, reason: [...reasons].join(' ') }
}

function isDependencyFailure(error: Error): error is AppError {
  return error instanceof AppError && (error.kind === 'upstream' || error.kind === 'unavailable')
}

function masked(text: string): string {
  return text.slice(0, MAX_SEARCHED).replaceAll(SECRET_TEXTS, '[redacted]').slice(0, MAX_REASON)
}
