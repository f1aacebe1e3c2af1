import type { Report } from './report.ts'
import type { Source } from './source.ts'
import { labelOf, type SourceDocument, textOf } from './values.ts'

/** All that the proxy has under one session id, in parts: long conversations never stand in memory as a whole. */
export interface Part<State> {
  sessionId: string
  /** The documents of the session; none if it has messages only. */
  sessions: readonly SourceDocument[]
  messages: readonly SourceDocument[]
  isFirst: boolean
  isLast: boolean
  /** Shared by all parts of a conversation. */
  state: State
  /** Resolves when the part before has been dealt with. */
  before: Promise<void>
  /** To be called when this part has been. */
  done(): void
}

const PART_MESSAGES = 100
const PART_BYTES = 4 * 1024 * 1024

/** Goes through sessions and messages side by side, both in the order of session ids. */
export async function* conversationsOf<State>(
  source: Source,
  report: Report,
  newState: () => State
): AsyncGenerator<Part<State>> {
  const sessions = await cursorOf(source.documents('chat_sessions', { session_id: 1, _id: 1 }), (document) =>
    count(report, 'sessions', document)
  )
  const messages = await cursorOf(
    source.documents('chat_messages', { session_id: 1, created_at: 1, _id: 1 }),
    (document) => count(report, 'messages', document)
  )

  for (;;) {
    const sessionId = lesser(sessions.key(), messages.key())
    if (sessionId === undefined) return
    const own: SourceDocument[] = []
    while (sessions.key() === sessionId) own.push(await sessions.take())
    const state = newState()
    let before = Promise.resolve()
    for (let isFirst = true, isLast = false; !isLast; isFirst = false) {
      const taken: SourceDocument[] = []
      let bytes = 0
      while (messages.key() === sessionId && taken.length < PART_MESSAGES && bytes < PART_BYTES) {
        const message = await messages.take()
        bytes += textOf(message.content)?.length ?? 0
        taken.push(message)
      }
      isLast = messages.key() !== sessionId
      const { promise, resolve } = Promise.withResolvers<void>()
      yield { sessionId, sessions: own, messages: taken, isFirst, isLast, state, before, done: resolve }
      before = promise
    }
  }
}

function count(report: Report, name: string, document: SourceDocument): boolean {
  const counter = report.counter(name)
  counter.read()
  if (sessionIdOf(document) !== undefined) return true
  counter.skip(labelOf(document), 'it has no session id')
  return false
}

/** One document ahead; those that are not wanted are passed over. */
async function cursorOf(documents: AsyncGenerator<SourceDocument>, isWanted: (document: SourceDocument) => boolean) {
  let next: SourceDocument | undefined

  async function advance(): Promise<void> {
    for (;;) {
      const { value, done } = await documents.next()
      next = done === true ? undefined : value
      if (next === undefined || isWanted(next)) return
    }
  }

  await advance()
  return {
    key: () => next && sessionIdOf(next),
    async take(): Promise<SourceDocument> {
      const taken = next
      if (taken === undefined) throw new Error('Nothing is left')
      await advance()
      return taken
    }
  }
}

function sessionIdOf({ session_id: id }: SourceDocument): string | undefined {
  return typeof id === 'string' && id !== '' ? id : undefined
}

/** In the order of MongoDB, by UTF-8 bytes; JavaScript would by UTF-16 units. */
function lesser(one: string | undefined, other: string | undefined): string | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return Buffer.compare(Buffer.from(one), Buffer.from(other)) <= 0 ? one : other
}
