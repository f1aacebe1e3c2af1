import { isUtf8 } from 'node:buffer'
import { Ajv, type AnySchema, type ValidateFunction } from 'ajv'
import type { FastifyInstance, FastifySchemaValidationError } from 'fastify'
import fp from 'fastify-plugin'
import { parse } from 'secure-json-parse'
import { AppError } from '../src/errors.ts'

const MAX_DEPTH = 64
const QUOTE = 0x22
const BACKSLASH = 0x5c
const FORBIDDEN = { protoAction: 'error', constructorAction: 'error' } as const

/**
 * Reading and checking of input: JSON must be valid UTF-8 and not nested beyond reason; bodies are never converted
 * (`"5"` is no number), query and path members are; members a schema does not list are dropped.
 */
export default fp(
  async function parsing(app: FastifyInstance) {
    app.removeContentTypeParser(['application/json', 'text/plain'])
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, function readJson(_request, body, done) {
      try {
        done(null, parseJson(body as Buffer))
      } catch (error) {
        done(error instanceof Error ? error : new AppError('malformed_json'))
      }
    })
    const strict = new Ajv({ ...ajvOptions, coerceTypes: false })
    const converting = new Ajv({ ...ajvOptions, coerceTypes: true })
    for (const ajv of [strict, converting]) ajv.addKeyword('example')
    app.setValidatorCompiler(({ schema, httpPart }) => lazily(httpPart === 'body' ? strict : converting, schema))
  },
  { name: 'parsing', dependencies: ['problem'] }
)

/** A check that is compiled when it is needed for the first time: most never are, and a start would wait for all. */
function lazily(ajv: Ajv, schema: AnySchema) {
  let compiled: ValidateFunction | undefined
  return function check(data: unknown) {
    compiled ??= ajv.compile(schema)
    return compiled(data) || { error: (compiled.errors ?? []) as FastifySchemaValidationError[] }
  }
}

// verbose: an error then carries its schema, whose description says what is wanted.
const ajvOptions = {
  removeAdditional: true,
  useDefaults: true,
  allErrors: false,
  strict: false,
  verbose: true
} as const

/**
 * Parses the bytes of a JSON body; an empty body is undefined.
 * @throws malformed_json for bad syntax, invalid UTF-8, a `__proto__` member, or nesting beyond 64 levels
 */
export function parseJson(body: Buffer): unknown {
  if (body.length === 0) return undefined
  if (!isUtf8(body)) throw new AppError('malformed_json', { detail: 'The body is not valid UTF-8.' })
  const text = body.toString('utf8')
  if (mayBeTooDeep(text) && isTooDeep(body))
    throw new AppError('malformed_json', { detail: `The body is nested deeper than ${MAX_DEPTH} levels.` })
  try {
    return parse(text, FORBIDDEN)
  } catch (cause) {
    throw new AppError('malformed_json', {}, { cause })
  }
}

/** Whether there are enough brackets for it, wherever they are: hardly any body has, and finding them is all that it costs. */
function mayBeTooDeep(text: string): boolean {
  let left = MAX_DEPTH
  for (const bracket of '{[')
    for (let at = text.indexOf(bracket); at >= 0; at = text.indexOf(bracket, at + 1)) if (--left < 0) return true
  return false
}

/** Counts brackets outside strings: cheaper and safer than walking the parsed value. Strings may be files: they are leapt over. */
function isTooDeep(body: Buffer): boolean {
  let depth = 0
  for (let index = 0; index < body.length; index++) {
    const byte = body[index]
    if (byte === QUOTE) {
      index = endOfString(body, index)
      if (index < 0) return false
    } else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > MAX_DEPTH) return true
    } else if (byte === 0x7d || byte === 0x5d) depth--
  }
  return false
}

/** The quote that ends the string which begins here; -1 if none does. */
function endOfString(body: Buffer, start: number): number {
  let from = start + 1
  for (;;) {
    const end = body.indexOf(QUOTE, from)
    let before = end - 1
    while (before >= from && body[before] === BACKSLASH) before--
    // An odd number of backslashes escapes the quote.
    if (end < 0 || (end - before) % 2 === 1) return end
    from = end + 1
  }
}
