/**
 * The order of two texts as SQLite has it, which is that of their characters; UTF-16 puts those beyond 0xFFFF elsewhere.
 * Negative: the first is before the other.
 */
export function compareTexts(one: string, other: string): number {
  if (one === other) return 0
  const length = Math.min(one.length, other.length)
  let at = 0
  while (at < length && one.charCodeAt(at) === other.charCodeAt(at)) at++
  if (at === length) return one.length - other.length
  // The second halves of two characters with one first half differ: they are compared whole.
  if (at > 0 && isFirstHalf(one.charCodeAt(at - 1))) at--
  return (one.codePointAt(at) ?? 0) - (other.codePointAt(at) ?? 0)
}

function isFirstHalf(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff
}
