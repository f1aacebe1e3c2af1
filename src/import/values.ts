import { Decimal128, Long, ObjectId } from 'mongodb'

/** A document of the proxy: nothing in it is certain. */
export type SourceDocument = Readonly<Record<string, unknown>>

const MAX_ID = 128
const CONTROL = /\p{Cc}/u

/** What a document is known by, and what others name it by: an ObjectId in hex, or a short text; undefined for anything else. */
export function idOf(value: unknown): string | undefined {
  if (value instanceof ObjectId) return value.toHexString()
  const text = typeof value === 'string' ? value.trim() : ''
  return text !== '' && text.length <= MAX_ID && text.isWellFormed() && !CONTROL.test(text) ? text : undefined
}

/** What the document itself is known by. */
export function documentIdOf({ _id }: SourceDocument): string | undefined {
  return idOf(_id)
}

/** What a document is called in a report, also when nothing else can be done with it. */
export function labelOf(document: SourceDocument): string {
  return documentIdOf(document) ?? 'a document without a usable _id'
}

/** The text, or undefined if it is none. */
export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** A number in whichever form the database keeps numbers; undefined for anything else. */
export function numberOf(value: unknown): number | undefined {
  const isBoxed = value instanceof Long || value instanceof Decimal128
  const number = isBoxed ? Number(value.toString()) : value
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined
}

/**
 * The first of these that is an instant, as epoch ms: a date, or an ISO text, which without a zone is UTC. Else when the
 * ObjectId was made, so that it is the same at each reading; else 0.
 */
export function instantOf(document: SourceDocument, ...members: string[]): number {
  for (const member of members) {
    const value = document[member]
    const at = value instanceof Date ? value.getTime() : parsed(textOf(value) ?? '')
    if (at >= 0) return at
  }
  const { _id } = document
  return _id instanceof ObjectId ? _id.getTimestamp().getTime() : 0
}

/** The object, or an empty one. */
export function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  return isMembers(value) ? value : {}
}

/** True for an object that is no array. */
export function isMembers(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parsed(text: string): number {
  return Date.parse(/^\d{4}-\d\d-\d\d[T ][\d:.]+$/.test(text) ? `${text.replace(' ', 'T')}Z` : text)
}
