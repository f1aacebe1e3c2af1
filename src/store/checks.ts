import type { Append, Change, CollectionSpec, Document } from './port.ts'

const SEGMENT = /^[A-Za-z0-9_:-]{1,128}$/
/** Stands for the key of a guard or a change. */
const ANY = '*'
/** Paths remembered with their segments. Some name a counter and hardly come again: it starts anew when it is full. */
const MAX_KNOWN = 2_000

/** Splits paths of the port into segments, with the key in the place of `*`. */
export type PathReader = (path: string, key?: string) => readonly string[]

/** Reads paths and remembers them. A malformed one is a programming fault. */
export function createPathReader(): PathReader {
  const known = new Map<string, readonly string[]>()
  return (path, key) => {
    let segments = known.get(path)
    if (!segments) {
      segments = partsOf(path)
      if (known.size >= MAX_KNOWN) known.clear()
      known.set(path, segments)
    }
    return withKey(segments, key)
  }
}

/** The segments of a path of the port, with the key in the place of `*`. A malformed one is a programming fault. */
export function segmentsOf(path: string, key?: string): readonly string[] {
  return withKey(partsOf(path), key)
}

function partsOf(path: string): string[] {
  const parts = path.split('.')
  // A member of the document itself is always called by its name: `*` could be the id, or a sum that has a rule.
  for (const [at, part] of parts.entries()) if (part !== ANY || at === 0) checkSegment(part)
  return parts
}

function withKey(parts: readonly string[], key: string | undefined): readonly string[] {
  if (!parts.includes(ANY)) return parts
  const segment = key ?? ANY
  checkSegment(segment)
  return parts.map((part) => (part === ANY ? segment : part))
}

function checkSegment(segment: string): void {
  if (!SEGMENT.test(segment)) throw new Error(`Malformed in a path: ${JSON.stringify(segment)}`)
}

/** Refuses a change that does not mean the same in every store: a path changed twice, a number that is not exact. */
export function checkChange(change: Change): void {
  const { key, set = {}, inc = {}, max = {}, unset = [] } = change
  const paths = [...Object.keys(set), ...Object.keys(inc), ...Object.keys(max), ...unset]
  checkPaths(paths.map((path) => segmentsOf(path, key)))
  for (const [path, value] of Object.entries(set)) jsonOf(path, value)
  checkNumbers(change)
}

/** The JSON of a value that is to be stored. Refuses one that JSON does not know. */
export function jsonOf(path: string, value: unknown): string {
  const text: string | undefined = JSON.stringify(value)
  if (text === undefined) throw new Error(`Nothing to set at ${path}: use unset`)
  return text
}

/** Refuses to add or compare what is not exact. */
export function checkNumbers({ inc = {}, max = {} }: Change): void {
  for (const path of Object.keys(inc))
    if (!Number.isSafeInteger(inc[path])) throw new Error(`Not a safe integer at ${path}: ${inc[path]}`)
  for (const path of Object.keys(max))
    if (!Number.isFinite(max[path])) throw new Error(`Not a number at ${path}: ${max[path]}`)
}

/**
 * Refuses two changes of one path, or of a path and its parent: MongoDB refuses them in one update, and another store would
 * apply them in an order nobody chose.
 */
export function checkPaths(paths: readonly (readonly string[])[]): void {
  let next = 0
  for (const path of paths) {
    next++
    if (path.length === 1 && path[0] === 'id') throw new Error('The id of a document never changes')
    for (let i = next; i < paths.length; i++) {
      const other = paths[i] ?? []
      if (overlap(path, other)) throw new Error(`Changed together: ${path.join('.')} and ${other.join('.')}`)
    }
  }
}

function overlap(one: readonly string[], other: readonly string[]): boolean {
  const length = Math.min(one.length, other.length)
  for (let i = 0; i < length; i++) if (one[i] !== other[i]) return false
  return true
}

/** Refuses an id that has no UTF-8 form. */
export function checkDocument({ id }: Document): void {
  if (!id.isWellFormed()) throw new Error('An id is well-formed text')
}

/** The collections of a store by name. A name that nobody declared is a programming fault, when asked for. */
export function specsByName(specs: CollectionSpec[]): (name: string) => CollectionSpec {
  const known = new Map(specs.map((spec) => [spec.name, spec]))
  return (name) => {
    const spec = known.get(name)
    if (!spec) throw new Error(`Unknown collection: ${name}`)
    return spec
  }
}

/** Refuses to append where the collection does not say so: a store may look for its documents where they come from. */
export function checkAppends(source: string, append: Append[], specOf: (name: string) => CollectionSpec): void {
  for (const { collection, document } of append) {
    if (!specOf(collection).appendedFrom?.includes(source))
      throw new Error(`${collection} does not say that ${source} appends to it`)
    checkDocument(document)
  }
}

/** Refuses a page that is empty or too long. */
export function checkLimit(limit: number): void {
  if (!(limit >= 1 && limit <= 1000)) throw new Error(`Limit out of range: ${limit}`)
}
