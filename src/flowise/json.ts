/** MongoDB takes documents of 100 levels, SQLite of 1000, and at some thousands JSON.stringify fails. */
const MAX_DEPTH = 64

/** True if the value is a JSON object (not null, not an array). */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What the text says as JSON; undefined if it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** True if the value nests deeper than everything it may have to go through can take. */
export function isTooDeep(value: unknown, levels = MAX_DEPTH): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (levels === 0) return true
  const members: unknown[] = Array.isArray(value) ? value : Object.values(value)
  for (const member of members)
    if (typeof member === 'object' && member !== null && isTooDeep(member, levels - 1)) return true
  return false
}

/** The object with these members of `source` only, in the order of `names`; members that are absent stay absent. */
export function pick(source: Record<string, unknown>, names: Iterable<string>): Record<string, unknown> {
  const picked: Record<string, unknown> = {}
  for (const name of names) if (Object.hasOwn(source, name)) define(picked, name, source[name])
  return picked
}

/** An assignment to `__proto__` would be none. */
function define(target: Record<string, unknown>, name: string, value: unknown): void {
  if (name === '__proto__')
    Object.defineProperty(target, name, { value, enumerable: true, writable: true, configurable: true })
  else target[name] = value
}
