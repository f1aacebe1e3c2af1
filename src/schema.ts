import type { Readable } from 'node:stream'
import { type Static, type TProperties, type TSchema, Type } from '@sinclair/typebox'

export { type Static, type TSchema, Type }

/** Opaque identifier in a path or a body; what is malformed is simply unknown. */
export const Id = Type.String({ minLength: 1, maxLength: 128 })
export const Email = Type.String({
  description: 'an e-mail address',
  minLength: 3,
  maxLength: 254,
  pattern: '^\\s*[^\\s@\\u0000]+@[^\\s@\\u0000]+\\s*$'
})
export const Instant = Type.String({
  description: 'ISO 8601, UTC, milliseconds',
  examples: ['2026-01-31T12:00:00.000Z']
})
export const Credits = Type.Number({ description: 'credits, at most six decimals', examples: [41] })
export const Message = Type.String({ description: 'a sentence for people' })

/** Body or query member object: members that are not listed are dropped. */
export const Members = <T extends TProperties>(
  properties: T,
  options: { description?: string; examples?: unknown[] } = {}
) => Type.Object(properties, { additionalProperties: false, ...options })

/** A value or null. */
export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

/** As long as the longest id there is, a ledger entry's: percent-encoded user id and idempotency key, in base64. */
export const Cursor = Type.String({ minLength: 1, maxLength: 4096 })

/** Query of a keyset-paged list. */
export const PageQuery = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 50 })),
  cursor: Type.Optional(Cursor)
}

/** Tail of a paged reply. */
export const PageReply = { count: Type.Integer(), next_cursor: Nullable(Type.String()) }

/** RFC 9457 problem, with `message` and `error` for older clients. */
export const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String(),
    request_id: Type.String(),
    instance: Type.String(),
    message: Type.String(),
    error: Type.String(),
    errors: Type.Optional(Type.Array(Type.Object({ loc: Type.Array(Type.String()), msg: Type.String() })))
  },
  { $id: 'Problem', additionalProperties: true }
)

/** Response map of a route: the success schema, and `Problem` for each error status it can answer. */
export function responses<S extends TSchema>(success: S, ...errors: number[]): { 200: S } & Record<number, TSchema> {
  return { 200: success, ...problems(...errors) }
}

/** The error half of a response map. */
export function problems(...statuses: number[]): Record<number, TSchema> {
  return Object.fromEntries(statuses.map((status) => [status, Type.Unsafe({ $ref: 'Problem#' })]))
}

/** The success of a list that is also exported: a page as JSON, or all of it as a table. */
export function pageOrTable<S extends TSchema>(page: S, description: string) {
  return {
    description,
    content: {
      'application/json': { schema: page },
      'text/csv': { schema: Type.Unsafe<Readable>({ type: 'string' }) }
    }
  }
}
