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
  return levels === 0 || Object.values(value).some((member) => isTooDeep(member, levels - 1))
}

/** The object with these members of `source` only, in the order of `names`; members that are absent stay absent. */
export function pick(source: Record<string, unknown>, names: Iterable<string>): Record<string, unknown> {
  const picked: [string, unknown][] = []
  for (const name of names) if (Object.hasOwn(source, name)) picked.push([name, source[name]])
  return Object.fromEntries(picked)
}
