import { type Clock, isoInstant } from '../clock.ts'
import type { Ids } from '../ids.ts'

const MAX_ROWS = 2000

/** A stored message, with the members of Flowise's row that matter. */
export interface DemoMessage {
  id: string
  role: 'userMessage' | 'apiMessage'
  chatflowid: string
  content: string
  chatType: 'EXTERNAL'
  chatId: string
  memoryType: string
  sessionId: string
  createdDate: string
}

export interface Conversation {
  chatflowid: string
  chatId: string
  sessionId: string
}

export interface DemoMemory {
  /** Stores both halves of a turn; answers the id of the second. */
  store(where: Conversation, question: string, text: string): string
  previousQuestion(where: Conversation): string | undefined
  /** Messages of a chatflow that have these values, oldest first. */
  list(chatflowid: string, filter: URLSearchParams): DemoMessage[]
  /** How many were removed. */
  remove(chatflowid: string, filter: URLSearchParams): number
}

/** Remembers the last messages of all conversations. */
export function createDemoMemory(clock: Clock, ids: Ids): DemoMemory {
  let rows: DemoMessage[] = []

  return {
    store(where, question, text) {
      const shared = {
        ...where,
        chatType: 'EXTERNAL',
        memoryType: 'Buffer Memory',
        createdDate: isoInstant(clock.now())
      } as const
      const answer: DemoMessage = { id: ids.uuid(), role: 'apiMessage', content: text, ...shared }
      rows.push({ id: ids.uuid(), role: 'userMessage', content: question, ...shared }, answer)
      rows = rows.slice(-MAX_ROWS)
      return answer.id
    },
    previousQuestion: ({ chatflowid, sessionId }) =>
      rows.findLast((row) => row.role === 'userMessage' && row.chatflowid === chatflowid && row.sessionId === sessionId)
        ?.content,
    list: (chatflowid, filter) => rows.filter((row) => isMatch(row, chatflowid, filter)),
    remove(chatflowid, filter) {
      const before = rows.length
      rows = rows.filter((row) => !isMatch(row, chatflowid, filter))
      return before - rows.length
    }
  }
}

function isMatch(row: DemoMessage, chatflowid: string, filter: URLSearchParams): boolean {
  const wanted = [
    [filter.get('messageId'), row.id],
    [filter.get('chatId'), row.chatId],
    [filter.get('sessionId'), row.sessionId]
  ]
  return row.chatflowid === chatflowid && wanted.every(([value, actual]) => value === null || value === actual)
}
