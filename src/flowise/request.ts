import { invalid } from '../errors.ts'
import { derivedRunId, sha256Hex } from '../ids.ts'
import { flowiseRole, type HistoryMessage } from './prediction.ts'

const SESSION_ID = /^[A-Za-z0-9_.:-]{1,128}$/
const MAX_HISTORY_CHARACTERS = 200_000
const MAX_SHOWN = 10_000

/** A file of a multipart prediction on Flowise's own path. */
export interface FilePart {
  name: string
  mime: string
  bytes: Buffer
}

/** What a client asks for, read and checked, whichever path it came by. */
export interface PredictionRequest {
  chatflowId: string
  /** Empty only where a form or a human answer takes its place. */
  question: string
  /** What the history shows as the user's message. */
  shown: string
  /** The session it names, or undefined for a new one. */
  sessionId: string | undefined
  /** The id as the client wrote it: what it gets back on Flowise's own path. */
  clientChatId?: string
  wantsStream: boolean
  history: HistoryMessage[] | undefined
  overrideConfig: Record<string, unknown> | undefined
  form?: Record<string, unknown>
  humanInput?: Record<string, unknown>
  action?: Record<string, unknown>
  leadEmail?: string
  files: FilePart[]
}

/** Body of /chat/predict after schema validation; null counts as absent. */
export interface GatewayBody {
  chatflow_id: string
  question?: string | null
  message?: string | null
  sessionId?: string | null
  session_id?: string | null
  overrideConfig?: Record<string, unknown> | null
  history?: HistoryMessage[] | null
  uploads?: unknown[] | null
  file_ids?: string[] | null
  streaming?: boolean | null
}

/** Body of Flowise's own path after schema validation; a multipart body has the same members. */
export interface FlowiseBody {
  question?: string | null
  form?: Record<string, unknown> | null
  chatId?: string | null
  sessionId?: string | null
  overrideConfig?: Record<string, unknown> | null
  history?: HistoryMessage[] | null
  uploads?: unknown[] | null
  humanInput?: Record<string, unknown> | null
  action?: Record<string, unknown> | null
  leadEmail?: string | null
  /** Flowise streams for true and "true" only. */
  streaming?: unknown
}

/**
 * Reads a /chat/predict body.
 * @throws validation_error
 */
export function readGatewayRequest(body: GatewayBody, wantsStream: boolean): PredictionRequest {
  refuseFiles(body.uploads, 'uploads')
  refuseFiles(body.file_ids, 'file_ids')
  const question = [body.question, body.message].find((text) => typeof text === 'string' && text.trim() !== '')
  if (!question) throw invalid(['body', 'question'], 'is required')
  const sessionId = [body.sessionId, body.session_id, body.overrideConfig?.sessionId].find(isGiven)
  if (sessionId !== undefined && (typeof sessionId !== 'string' || !SESSION_ID.test(sessionId)))
    throw invalid(['body', 'sessionId'], 'must be 1 to 128 characters of A-Z a-z 0-9 _ . : -')
  return {
    chatflowId: body.chatflow_id,
    question: checkText(question),
    shown: question,
    sessionId,
    wantsStream,
    history: readHistory(body.history),
    overrideConfig: body.overrideConfig ?? undefined,
    files: []
  }
}

/**
 * Reads a body of Flowise's own path. A client's chatId may have any characters there; one that cannot be a
 * session id stands for a session id made from it and the user.
 * @throws validation_error
 */
export function readFlowiseRequest(
  chatflowId: string,
  body: FlowiseBody,
  userId: string,
  files: FilePart[]
): PredictionRequest {
  refuseFiles(body.uploads, 'uploads')
  const chatId = [body.chatId, body.sessionId, body.overrideConfig?.sessionId].find(isGiven)
  if (chatId !== undefined && (typeof chatId !== 'string' || chatId.length > 512))
    throw invalid(['body', 'chatId'], 'must be text of at most 512 characters')
  const question = body.question ?? ''
  if (question.trim() === '' && !body.form && !body.humanInput && !body.action)
    throw invalid(['body', 'question'], 'is required')
  return {
    chatflowId,
    question: checkText(question),
    shown: question.trim() === '' ? shownFor(body) : question,
    sessionId: chatId === undefined ? undefined : sessionOfChat(userId, chatflowId, chatId),
    ...(chatId === undefined ? {} : { clientChatId: chatId }),
    wantsStream: body.streaming === true || body.streaming === 'true',
    history: readHistory(body.history),
    overrideConfig: body.overrideConfig ?? undefined,
    ...(body.form ? { form: body.form } : {}),
    ...(body.humanInput ? { humanInput: body.humanInput } : {}),
    ...(body.action ? { action: body.action } : {}),
    ...(body.leadEmail ? { leadEmail: body.leadEmail } : {}),
    files
  }
}

/** The session that a client made for Flowise means by its chatId. */
export function sessionOfChat(userId: string, chatflowId: string, chatId: string): string {
  return SESSION_ID.test(chatId) ? chatId : `c-${derivedRunId(userId, chatflowId, chatId)}`
}

/** The fingerprint under which an idempotency key remembers what was asked; the form of the reply is no part of it. */
export function requestHash(request: PredictionRequest): string {
  const { wantsStream: _wants, shown: _shown, files, ...asked } = request
  return sha256Hex(JSON.stringify([asked, files.map(({ name, mime, bytes }) => [name, mime, sha256Hex(bytes)])]))
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== ''
}

/** A form as Flowise itself notes it, or the word of the person who was asked. */
function shownFor({ form, humanInput }: FlowiseBody): string {
  if (form)
    return Object.entries(form)
      .map(([name, value]) => `${name}: ${asText(value)}`)
      .join('\n')
      .slice(0, MAX_SHOWN)
  return asText(humanInput?.feedback) || asText(humanInput?.type)
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, MAX_SHOWN) : (JSON.stringify(value) ?? '').slice(0, MAX_SHOWN)
}

function checkText(question: string): string {
  if (question.includes('\u0000')) throw invalid(['body', 'question'], 'must not contain NUL characters')
  return question
}

function refuseFiles(list: unknown[] | null | undefined, name: string): void {
  if (list && list.length > 0)
    throw invalid(['body', name], 'is not supported by this version: send the question without files')
}

function readHistory(history: HistoryMessage[] | null | undefined): HistoryMessage[] | undefined {
  if (!history) return undefined
  let characters = 0
  for (const [index, { role, content }] of history.entries()) {
    if (flowiseRole(role) === undefined)
      throw invalid(['body', 'history', String(index), 'role'], 'must be user or assistant')
    characters += content.length
  }
  if (characters > MAX_HISTORY_CHARACTERS)
    throw invalid(['body', 'history'], `must have at most ${MAX_HISTORY_CHARACTERS} characters together`)
  return history
}
