/** A document as it is kept: what JSON knows, frozen through and through. */
export type Stored = Readonly<Record<string, unknown>>

/** What stands at a path of a document; undefined if nothing does. */
export function memberAt(document: Stored, path: readonly string[]): unknown {
  let value: unknown = document
  for (const segment of path) {
    if (!isObject(value) || !Object.hasOwn(value, segment)) return undefined
    value = value[segment]
  }
  return value
}

/** Whether it has members with names. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Freezes a value and all in it; what is frozen already is taken to be so through and through. */
export function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const member of Object.values(value)) if (typeof member === 'object') frozen(member)
  return Object.freeze(value)
}
