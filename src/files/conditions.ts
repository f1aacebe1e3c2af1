/** What of the bytes is wanted: a part, or an impossible one. */
export type WantedRange = { start: number; end: number } | 'unsatisfiable' | undefined

const MAX_DIGITS = 15

/** Whether one of the tags of an If-None-Match is this one. @see RFC 9110 section 13.1.2 */
export function isUnchanged(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  const tags = ifNoneMatch.split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  return tags.includes('*') || tags.includes(etag)
}

/**
 * The one range that a request asks for, `end` excluded; undefined when the whole is to be sent: no range, several, one in
 * another unit, or one of other bytes than these. @see RFC 9110 section 14.2
 */
export function rangeOf(
  { range, ifRange }: { range: string | undefined; ifRange: string | undefined },
  { sizeBytes, etag }: { sizeBytes: number; etag: string }
): WantedRange {
  if (range === undefined || (ifRange !== undefined && ifRange !== etag)) return undefined
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(range.trim()) ?? []
  if (first === '' && last === '') return undefined
  if (first.length > MAX_DIGITS || last.length > MAX_DIGITS) return undefined
  if (first === '') {
    const suffix = Math.min(Number(last), sizeBytes)
    return suffix === 0 ? 'unsatisfiable' : { start: sizeBytes - suffix, end: sizeBytes }
  }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return undefined
  if (start >= sizeBytes) return 'unsatisfiable'
  return { start, end: last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes) }
}
