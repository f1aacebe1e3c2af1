import { invalid } from '../errors.ts'
import type { PredictionRequest } from '../flowise/request.ts'
import { derivedRunId } from '../ids.ts'
import type { ChatflowRow, SessionRow } from '../store/collections.ts'
import { type ReadFile, readDialogue } from './messages.ts'
import type { CompletionRequestBody } from './schemas.ts'

/** Overrides of Flowise's nodes that take a system message, where the chatflow allows them. */
const SYSTEM_OVERRIDES = ['systemMessage', 'systemMessagePrompt']
const SESSION_ID = /^[A-Za-z0-9_.:-]{1,128}$/

/** What has been found out about the caller and the model. */
export interface CompletionContext {
  chatflow: ChatflowRow
  /** The session that the client's name for it means; undefined: a fresh one. */
  sessionId: string | undefined
  maxFiles: number
  readFile: ReadFile
}

/**
 * Reads a completion as a prediction. In a named session only the question is sent, because Flowise remembers the rest;
 * else the messages before it go along as history.
 * @throws validation_error that names the parameter
 */
export function readCompletion(body: CompletionRequestBody, context: CompletionContext): PredictionRequest {
  const { chatflow, sessionId, maxFiles, readFile } = context
  refuseWhatCannotBe(body)
  const { instructions, history, question, files, fileIds } = readDialogue(body.messages, readFile)
  if (files.length + fileIds.length > maxFiles)
    throw invalid(['body', 'messages'], `may have at most ${maxFiles} images and files`)
  const isRemembered = sessionId !== undefined
  return {
    chatflowId: chatflow.id,
    ...instruct(question, instructions, chatflow),
    shown: question,
    sessionId,
    wantsStream: body.stream === true,
    history: isRemembered || history.length === 0 ? undefined : history,
    files,
    ...(fileIds.length > 0 ? { fileIds } : {}),
    filesAs: 'uploads'
  }
}

/**
 * The name that a client gives a conversation, if it does.
 * @throws validation_error when header and body differ
 */
export function sessionNameOf(body: CompletionRequestBody, header: string | undefined): string | undefined {
  const inBody = body.metadata?.session_id ?? undefined
  const names = [header, inBody].filter((name) => name !== undefined && name !== '')
  if (names.length === 2 && header !== inBody)
    throw invalid(['body', 'metadata', 'session_id'], 'must be what X-Session-Id says')
  return names[0]
}

/** Whose conversation, and with which chatflow. */
export interface SessionOwner {
  userId: string
  visitorId: string | null
  chatflowId: string
}

/** Whether the name may be the id of a session that is there already. */
export function isSessionId(name: string, { visitorId }: SessionOwner): boolean {
  return visitorId === null && SESSION_ID.test(name)
}

/**
 * The session that is meant: the one of this id if it is the caller's with this chatflow, else one made from all three, so
 * that a name is nobody else's, and one conversation may go through several models.
 */
export function sessionNamed(name: string, owner: SessionOwner, known: SessionRow | undefined): string {
  const { userId, visitorId, chatflowId } = owner
  if (known?.userId === userId && known.chatflowId === chatflowId) return known.id
  return `o-${derivedRunId(userId, visitorId ?? '', chatflowId, name)}`
}

/** Flowise has no place for instructions, unless the chatflow lets a system message be replaced. */
function instruct(question: string, instructions: string, { overrideAllow = [], systemMessages }: ChatflowRow) {
  if (instructions === '' || systemMessages === 'ignore') return { question, overrideConfig: undefined }
  if (systemMessages === 'refuse')
    throw invalid(
      ['body', 'messages'],
      'must be of the user and the assistant: this chatflow has instructions of its own'
    )
  const keys = SYSTEM_OVERRIDES.filter((key) => overrideAllow.includes(key))
  if (keys.length === 0) return { question: `${instructions}\n\n${question}`, overrideConfig: undefined }
  return { question, overrideConfig: Object.fromEntries(keys.map((key) => [key, instructions])) }
}

/** What would change the answer and cannot be had is refused; what only tunes a model is ignored. */
function refuseWhatCannotBe(body: CompletionRequestBody): void {
  const { n, tools, functions, logprobs, response_format: format, modalities, audio, web_search_options: search } = body
  const refusals: [boolean, string, string][] = [
    [n !== undefined && n !== null && n !== 1, 'n', 'must be 1'],
    [isAsked(tools), 'tools', 'is not supported: a chatflow uses its own tools'],
    [isAsked(functions), 'functions', 'is not supported: a chatflow uses its own tools'],
    [isAsked(logprobs), 'logprobs', 'is not supported'],
    [isAsked(format) && !isTextFormat(format), 'response_format', 'must be of type text'],
    [isAsked(modalities) && !isTextOnly(modalities), 'modalities', 'must be text only'],
    [isAsked(audio), 'audio', 'is not supported'],
    [isAsked(search), 'web_search_options', 'is not supported: a chatflow uses its own tools']
  ]
  const found = refusals.find(([isWrong]) => isWrong)
  if (found) throw invalid(['body', found[1]], found[2])
}

function isAsked(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0
  return value !== undefined && value !== null && value !== false
}

function isTextFormat(format: unknown): boolean {
  return typeof format === 'object' && format !== null && 'type' in format && format.type === 'text'
}

function isTextOnly(modalities: unknown): boolean {
  return Array.isArray(modalities) && modalities.every((one) => one === 'text')
}
