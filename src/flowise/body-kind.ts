/** How the body of a prediction's answer is to be read; `stream` is one whose first byte has not been seen. */
export type BodyKind = 'stream' | 'events' | 'json' | 'problem'

/** Around the first byte that means something, a byte order mark included. */
const BLANKS = [...Buffer.from('\uFEFF \t\r\n')]
const BRACE = 0x7b

/** The kind that the head announces; undefined for what Flowise never answers with. */
export function announcedKind(status: number, contentType: string): BodyKind | undefined {
  const type = contentType.toLowerCase()
  if (status >= 300) return 'problem'
  if (type.startsWith('text/event-stream')) return 'stream'
  return /^application\/([a-z.+-]+\+)?json/.test(type) ? 'json' : undefined
}

/** What calls itself a stream, by its first bytes: no line of one begins with a brace, and an answer in one piece does. */
export function streamedKind(chunk: Buffer): BodyKind {
  const first = chunk.find((byte) => !BLANKS.includes(byte))
  if (first === undefined) return 'stream'
  return first === BRACE ? 'json' : 'events'
}
