import type { AnswerEvent } from './rules.ts'
import { documentIdOf, idOf, instantOf, isMembers, type SourceDocument, textOf } from './values.ts'

/** A message of the proxy, read. */
export interface SourceMessage {
  id: string
  /** Of the user; resolved by whoever knows the people. */
  user: unknown
  chatflow: unknown
  role: 'user' | 'assistant'
  /** The text of a question. */
  text: string
  /** Of an answer: what it was made of. */
  events: AnswerEvent[]
  metadata: unknown
  /** Those that can have bytes. */
  fileIds: string[]
  at: number
}

const FILE_ID = /^[0-9a-f]{24}$/
const MAX_FILES = 100
const ROLES: Record<string, SourceMessage['role']> = {
  user: 'user',
  human: 'user',
  usermessage: 'user',
  assistant: 'assistant',
  ai: 'assistant',
  apimessage: 'assistant'
}

/** The message, or why it is none. */
export function readMessage(document: SourceDocument): SourceMessage | { unusable: string } {
  const id = documentIdOf(document)
  if (id === undefined) return { unusable: 'it has no usable _id' }
  const role = ROLES[textOf(document.role)?.trim().toLowerCase() ?? '']
  if (role === undefined) return { unusable: 'its role is neither user nor assistant' }
  const { content } = document
  if (typeof content !== 'string' && !Array.isArray(content)) return { unusable: 'its content is no text' }
  const text = typeof content === 'string' ? content : JSON.stringify(content)
  return {
    id,
    user: document.user_id,
    chatflow: document.chatflow_id,
    role,
    text,
    events: role === 'user' ? [] : eventsOf(text),
    metadata: plain(document.metadata),
    fileIds: readFileIds(document.file_ids),
    at: instantOf(document, 'created_at')
  }
}

/** The form in which the proxy stored answers; anything else is what the assistant said, as one token. */
export function eventsOf(text: string): AnswerEvent[] {
  const events = readEvents(parse(text))
  return events ?? [{ event: 'token', data: text }]
}

/** A list of events, or undefined if it is anything else. */
export function readEvents(value: unknown): AnswerEvent[] | undefined {
  if (!Array.isArray(value)) return undefined
  const events = value.flatMap((one: unknown) =>
    isMembers(one) && typeof one.event === 'string' ? [{ event: one.event, data: one.data }] : []
  )
  return events.length === value.length ? events : undefined
}

/** The files that a document names. */
function readFileIds(value: unknown): string[] {
  const ids = Array.isArray(value) ? value.map((one) => idOf(one)?.toLowerCase() ?? '') : []
  return [...new Set(ids.filter((id) => FILE_ID.test(id)))].slice(0, MAX_FILES)
}

/** As JSON, without the types of the database. */
function plain(value: unknown): unknown {
  return isMembers(value) || Array.isArray(value) ? JSON.parse(JSON.stringify(value)) : undefined
}

function parse(text: string): unknown {
  if (!/^\s*\[/.test(text)) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
