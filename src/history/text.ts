const TOPIC_LENGTH = 50

/** The first 50 characters of the first question, with `...` when it was longer. */
export function topicOf(question: string): string {
  let end = 0
  // Only the start is looked at: a question may have 100,000 characters, some of them two units long.
  for (let characters = 0; characters < TOPIC_LENGTH; characters++) {
    if (end >= question.length) return question
    end += isPair(question, end) ? 2 : 1
  }
  return end < question.length ? `${question.slice(0, end)}...` : question
}

/** The longest start of a text that fits into `maxBytes` of UTF-8; no character is cut in two. */
export function cutText(text: string, maxBytes: number): { text: string; isCut: boolean } {
  // A UTF-16 unit has at most three bytes, so most texts need no counting.
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return { text, isCut: false }
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(maxBytes))
  return { text: text.slice(0, read), isCut: true }
}

function isPair(text: string, at: number): boolean {
  return (text.codePointAt(at) ?? 0) > 0xffff
}
