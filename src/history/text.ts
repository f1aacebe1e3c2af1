const TOPIC_LENGTH = 50

/** The first 50 characters of the first question, with `...` when it was longer. */
export function topicOf(question: string): string {
  // Only the start is looked at: a question may have 100,000 characters.
  const characters = Array.from(question.slice(0, 2 * TOPIC_LENGTH + 2))
  const isLonger = characters.length > TOPIC_LENGTH
  return isLonger ? `${characters.slice(0, TOPIC_LENGTH).join('')}...` : question
}

/** The longest start of a text that fits into `maxBytes` of UTF-8; no character is cut in two. */
export function cutText(text: string, maxBytes: number): { text: string; isCut: boolean } {
  // A UTF-16 unit has at most three bytes, so most texts need no counting.
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return { text, isCut: false }
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(maxBytes))
  return { text: text.slice(0, read), isCut: true }
}
