import type { Document as BsonDocument } from 'mongodb'
import { checkChange } from '../checks.ts'
import type { Append, Change, CollectionSpec, Document } from '../port.ts'
import { storedPath } from './filter.ts'
import { fromStored, storedName, toStored } from './values.ts'

/** One appended document that waits in its source to be published. */
export interface Waiting {
  collection: string
  document: StoredDocument
}

/** The same with its key. */
export type KeyedWaiting = [key: string, waiting: Waiting]

/** A document as MongoDB keeps it: the id is `_id`, and some members are the adapter's own. */
export interface StoredDocument {
  _id: string
  /** Appended documents that are not in their collection yet, by key. */
  '%outbox'?: Record<string, Waiting>
  /** The keys of the outbox in order: what an index can find. */
  '%pending'?: string[]
  /** When it was removed (epoch ms): nothing else is left of it. Only where others append, so that a late copy finds its id taken. */
  '%removedAt'?: number
  [member: string]: unknown
}

/** The adapter's own members; no escaped name looks like them. */
const OWN = ['%outbox', '%pending', '%removedAt']
/** What readers of the port do not need to be sent. */
export const WITHOUT_OUTBOX = { '%outbox': 0, '%pending': 0 } as const

export function toDocument({ id, ...members }: Document, waiting: KeyedWaiting[] = []): StoredDocument {
  const document: StoredDocument = Object.assign(toStored(members) as object, { _id: id })
  if (waiting.length === 0) return document
  document['%outbox'] = Object.fromEntries(waiting)
  document['%pending'] = waiting.map(([key]) => key)
  return document
}

/** The document as callers of the port know it. */
export function fromDocument({ _id, ...members }: StoredDocument): Document {
  for (const name of OWN) delete members[name]
  return { id: _id, ...(fromStored(members) as object) }
}

/** The change as one update; what is appended goes into the outbox with it. */
export function updateOf(change: Change, waiting: KeyedWaiting[]): BsonDocument {
  checkChange(change)
  const stored = (values: Record<string, unknown> = {}) =>
    Object.entries(values).map(([path, value]) => [storedPath(path, change.key), toStored(value)] as const)
  const outbox = waiting.map(([key, item]) => [`%outbox.${key}`, item] as const)
  const unset = (change.unset ?? []).map((path) => [storedPath(path, change.key), ''] as const)
  const parts: [string, object][] = [
    ['$set', Object.fromEntries([...stored(change.set), ...outbox])],
    ['$inc', Object.fromEntries(stored(change.inc))],
    ['$max', Object.fromEntries(stored(change.max))],
    ['$unset', Object.fromEntries(unset)],
    ['$push', waiting.length > 0 ? { '%pending': { $each: waiting.map(([key]) => key) } } : {}]
  ]
  return Object.fromEntries(parts.filter(([, members]) => Object.keys(members).length > 0))
}

/** The update that takes published documents out of the outbox. */
export function withoutWaiting(keys: string[]): BsonDocument {
  return { $unset: Object.fromEntries(keys.map((key) => [`%outbox.${key}`, ''])), $pullAll: { '%pending': keys } }
}

/** The key of an appended document in the outbox; collection first, so that a range of keys is one collection. */
export function outboxKey(collection: string, id: string): string {
  return `${collection}:${storedName(id)}`
}

/** An appended document as it waits. */
export function waitingOf({ collection, document }: Append): KeyedWaiting {
  return [outboxKey(collection, document.id), { collection, document: toDocument(document) }]
}

/**
 * What must be there so that no member becomes negative, as MongoDB itself has no such rule: each decrement asks for what it
 * takes. Members that a change sets to a negative number are refused here.
 */
export function lowerBounds(
  { name, nonNegative = [] }: CollectionSpec,
  { set, inc, max }: Change
): [path: string, bound: number][] {
  return nonNegative.flatMap((path): [string, number][] => {
    const value = set?.[path] ?? max?.[path]
    if (typeof value === 'number' && value < 0) throw negative(name, path)
    const by = inc?.[path] ?? 0
    return by < 0 ? [[path, -by]] : []
  })
}

/** Refuses a new document with a negative member where there may be none. */
export function checkNonNegative({ name, nonNegative = [] }: CollectionSpec, document: Document): void {
  for (const path of nonNegative) {
    const value = Object.entries(document).find(([member]) => member === path)?.[1]
    if (typeof value === 'number' && value < 0) throw negative(name, path)
  }
}

/** The programming fault of a write that no guard of its caller stopped. */
export function negative(collection: string, path: string): Error {
  return new Error(`${collection}.${path} would become negative`)
}
