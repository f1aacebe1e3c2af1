import { invalid } from '../errors.ts'
import type { ClaimedFile } from '../files/arrival.ts'
import type { PassedFile, PassedKind } from '../files/passing.ts'
import { derivedRunId, sha256Hex } from '../ids.ts'
import { isStreamingValue } from './failure-form.ts'
import { flowiseRole, type HistoryMessage } from './prediction.ts'
import { type FlowiseUpload, readFlowiseUploads, readUploads, type UploadBody } from './uploads.ts'
import type { Static } from '../schema.ts'

const SESSION_ID = /^[A-Za-z0-9_.:-]{1,128}$/
const MAX_HISTORY_CHARACTERS = 200_000
const MAX_SHOWN = 10_000
/** What the history shows in place of a question that is in a voice message. */
const SPOKEN = '(voice message)'

/** A file on its way to Flowise. */
export interface FilePart {
  /** Absent: a file like any other. */
  kind?: PassedKind
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
  /** Files that came with the question. */
  files: readonly ClaimedFile[]
  /** Files that came before it. */
  fileIds?: readonly string[]
  /** Files that are passed on and not kept. */
  passed?: readonly PassedFile[]
  /** In which form Flowise gets the files: members of the JSON, or parts of a form. */
  filesAs: 'uploads' | 'parts'
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
  uploads?: Static<typeof UploadBody>[] | null
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
  uploads?: FlowiseUpload[] | null
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
export function readGatewayRequest(
  body: GatewayBody,
  { wantsStream, maxFiles }: { wantsStream: boolean; maxFiles: number }
): PredictionRequest {
  const fileIds = [...new Set(body.file_ids ?? [])]
  checkCount((body.uploads?.length ?? 0) + fileIds.length, maxFiles)
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
    files: readUploads(body.uploads),
    ...(fileIds.length > 0 ? { fileIds } : {}),
    filesAs: 'uploads'
  }
}

/** Whose chats: a user's own, or those of one visitor of the user's pages. */
export interface ChatOwner {
  userId: string
  visitorId: string | null
}

/** What of a request on Flowise's own path is no part of its body. */
export interface FlowiseCall {
  chatflowId: string
  owner: ChatOwner
  /** Files of a multipart body; undefined for JSON. */
  parts: readonly ClaimedFile[] | undefined
  maxFiles: number
}

/**
 * Reads a body of Flowise's own path. A client's chatId may have any characters there; one that cannot be a
 * session id stands for a session id made from it and the user.
 * @throws validation_error
 */
export function readFlowiseRequest(
  body: FlowiseBody,
  { chatflowId, owner, parts, maxFiles }: FlowiseCall
): PredictionRequest {
  checkCount(parts?.length ?? body.uploads?.length ?? 0, maxFiles)
  const chatId = [body.chatId, body.sessionId, body.overrideConfig?.sessionId].find(isGiven)
  if (chatId !== undefined && (typeof chatId !== 'string' || chatId.length > 512))
    throw invalid(['body', 'chatId'], 'must be text of at most 512 characters')
  const { files, passed } = parts ? { files: parts, passed: [] } : readFlowiseUploads(body.uploads)
  const question = body.question ?? ''
  const isSpoken = passed.some(({ kind }) => kind === 'audio')
  if (question.trim() === '' && !body.form && !body.humanInput && !body.action && !isSpoken)
    throw invalid(['body', 'question'], 'is required')
  return {
    chatflowId,
    question: checkText(question),
    shown: question.trim() === '' ? shownFor(body) || (isSpoken ? SPOKEN : '') : question,
    sessionId: chatId === undefined ? undefined : sessionOfChat(owner, chatflowId, chatId),
    ...(chatId === undefined ? {} : { clientChatId: chatId }),
    wantsStream: isStreamingValue(body.streaming),
    history: readHistory(body.history),
    overrideConfig: body.overrideConfig ?? undefined,
    ...(body.form ? { form: body.form } : {}),
    ...(body.humanInput ? { humanInput: body.humanInput } : {}),
    ...(body.action ? { action: body.action } : {}),
    ...(body.leadEmail ? { leadEmail: body.leadEmail } : {}),
    files,
    ...(passed.length > 0 ? { passed } : {}),
    filesAs: parts ? 'parts' : 'uploads'
  }
}

/** The session that a client made for Flowise means by its chatId; visitors of one user never share one. */
export function sessionOfChat({ userId, visitorId }: ChatOwner, chatflowId: string, chatId: string): string {
  if (visitorId !== null) return `v-${derivedRunId(userId, visitorId, chatflowId, chatId)}`
  return SESSION_ID.test(chatId) ? chatId : ownSessionOfChat({ userId, visitorId }, chatflowId, chatId)
}

/** The session instead where the chatId itself is a session of another user or chatflow: at Flowise these are different chats. */
export function ownSessionOfChat({ userId }: ChatOwner, chatflowId: string, chatId: string): string {
  return `c-${derivedRunId(userId, chatflowId, chatId)}`
}

/** The fingerprint under which an idempotency key remembers what was asked; the form of the reply is no part of it. */
export function requestHash(request: PredictionRequest): string {
  const { wantsStream: _wants, shown: _shown, filesAs: _as, files, passed = [], ...asked } = request
  const hashes = [...files, ...passed].map(({ name, claims, bytes, ...kind }) => [
    name,
    ...claims,
    sha256Hex(bytes),
    ...Object.values(kind)
  ])
  return sha256Hex(JSON.stringify([asked, hashes]))
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

function checkCount(files: number, most: number): void {
  if (files > most) throw invalid(['body', 'uploads'], `may be at most ${most}, with file_ids`)
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
