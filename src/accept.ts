/** How much a client wants this media type, 0 (not at all) to 1: by the most specific range of its Accept header. */
export function qualityOf(accept: string | undefined, mediaType: string): number {
  if (!accept?.trim()) return 1
  const ranges = [mediaType, `${mediaType.split('/')[0]}/*`, '*/*']
  const qualities = new Map(accept.split(',').map(readRange))
  return ranges.map((range) => qualities.get(range)).find((quality) => quality !== undefined) ?? 0
}

/** True for a client that names CSV and would not rather have JSON. */
export function wantsTable(accept = ''): boolean {
  const quality = qualityOf(accept, 'text/csv')
  return /\btext\/csv\b/i.test(accept) && quality > 0 && quality >= qualityOf(accept, 'application/json')
}

/** Range and quality of one member of the list; parameters other than `q` do not matter here. */
function readRange(member: string): [range: string, quality: number] {
  const [range = '', ...parameters] = member.split(';').map((part) => part.trim().toLowerCase())
  const weight = parameters.find((parameter) => parameter.startsWith('q='))
  const quality = Number(weight?.slice(2) ?? 1)
  return [range, quality >= 0 && quality <= 1 ? quality : 1]
}

/** True if the header names exactly this media type: what clients that take anything do not ask for. */
export function isNamed(accept: string | undefined, mediaType: string): boolean {
  return (accept ?? '').split(',').some((member) => {
    const [range, quality] = readRange(member)
    return range === mediaType && quality > 0
  })
}
