import { knownExamples } from './known-examples.ts'

/** A JSON schema, as far as examples are made of it. */
export interface Schema {
  $ref?: string
  type?: string
  const?: unknown
  enum?: unknown[]
  default?: unknown
  minimum?: number
  examples?: unknown[]
  anyOf?: Schema[]
  properties?: Record<string, Schema>
  items?: Schema
}

/** An example, and the members for which there was none to be found. */
export interface Example {
  value: unknown
  /** Paths such as `sessions.0.topic`; one that is here got an empty value. */
  missing: string[]
}

/**
 * An example that fits the schema: its own where it has one, else made of those of its members. A member without one is
 * looked up by its name, so that a session id looks the same everywhere.
 */
export function exampleOf(schema: Schema, path: string[] = []): Example {
  const [given] = schema.examples ?? []
  if (given !== undefined) return { value: given, missing: [] }
  const known = knownExamples[path.findLast((segment) => segment !== '0') ?? '']
  if (known !== undefined && isFitting(known, schema)) return { value: known, missing: [] }
  const only = schema.const ?? schema.enum?.[0] ?? schema.default
  if (only !== undefined) return { value: only, missing: [] }
  const choice = schema.anyOf?.find(({ type }) => type !== 'null') ?? schema.anyOf?.[0]
  if (choice) return exampleOf(choice, path)
  if (schema.type === 'array') return exampleOfList(schema, path)
  if (schema.type === 'object') return exampleOfMembers(schema, path)
  if (schema.type === 'boolean') return { value: true, missing: [] }
  if (schema.type === 'null') return { value: null, missing: [] }
  if (schema.type === 'integer') return { value: schema.minimum ?? 0, missing: [] }
  return { value: schema.type === 'string' ? '' : 0, missing: [path.join('.')] }
}

function exampleOfList({ items = {} }: Schema, path: string[]): Example {
  const { value, missing } = exampleOf(items, [...path, '0'])
  return { value: [value], missing }
}

function exampleOfMembers({ properties = {} }: Schema, path: string[]): Example {
  const members = Object.entries(properties).map(([name, member]) => ({ name, ...exampleOf(member, [...path, name]) }))
  return {
    value: Object.fromEntries(members.map(({ name, value }) => [name, value])),
    missing: members.flatMap(({ missing }) => missing)
  }
}

/** Several things have one name: the `errors` of a sync are a number, those of a problem a list. */
function isFitting(value: unknown, { type, anyOf, enum: several, const: only }: Schema): boolean {
  if (anyOf) return anyOf.some((choice) => isFitting(value, choice))
  if (only !== undefined || several) return value === only || several?.includes(value) === true
  if (type === 'integer') return Number.isInteger(value)
  if (type === 'array') return Array.isArray(value)
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value)
  return typeof value === type
}
