import { AppError, invalid } from '../errors.ts'
import type { ClaimedFile } from '../files/arrival.ts'
import type { ChatMessageBody, ContentPart } from './schemas.ts'

/** A conversation as OpenAI writes it, taken apart. */
export interface Dialogue {
  /** System and developer messages, joined; empty if there are none. */
  instructions: string
  /** Up to the last answer. */
  history: { role: 'user' | 'assistant'; content: string }[]
  /** What the user has said since. */
  question: string
  files: ClaimedFile[]
  fileIds: string[]
}

/** Reads one file inside a body. @throws AppError */
export type ReadFile = (data: string, name: string | undefined) => ClaimedFile

interface Turn {
  role: 'instructions' | 'user' | 'assistant'
  at: string[]
  content: string | ContentPart[]
}

const ROLES: Record<string, Turn['role']> = {
  system: 'instructions',
  developer: 'instructions',
  user: 'user',
  assistant: 'assistant'
}
/** What stands in the history for an image or a file: they are not sent again. */
const LEFT_OUT: Record<string, string> = { image_url: '[image]', file: '[file]' }
const MAX_QUESTION_CHARACTERS = 100_000
const MAX_HISTORY_CHARACTERS = 200_000

/**
 * Takes the messages apart. The question is everything behind the last answer, with its images and files.
 * @throws validation_error that names the message and the part
 */
export function readDialogue(messages: readonly ChatMessageBody[], readFile: ReadFile): Dialogue {
  const turns = messages.map(readTurn)
  const talk = turns.filter(({ role }) => role !== 'instructions')
  const begin = talk.findLastIndex(({ role }) => role === 'assistant') + 1
  const asked = talk.slice(begin)
  const files: ClaimedFile[] = []
  const fileIds = new Set<string>()
  const question = asked.map((turn) => textOf(turn, takePart)).join('\n\n')
  if (asked.length === 0) throw invalid(['body', 'messages'], 'must end with a message of the user')
  if (question.trim() === '') throw invalid(['body', 'messages'], 'must end with a text of the user')
  if (question.includes('\u0000')) throw invalid(['body', 'messages'], 'must not contain NUL characters')
  const history = talk.slice(0, begin).flatMap((turn) => {
    const content = textOf(turn, leaveOut)
    return turn.role === 'instructions' || content === '' ? [] : [{ role: turn.role, content }]
  })
  const instructions = turns
    .filter(({ role }) => role === 'instructions')
    .map((turn) => textOf(turn, refusePart))
    .join('\n\n')
    .trim()
  checkLength(question.length + instructions.length, MAX_QUESTION_CHARACTERS, 'question and instructions')
  checkLength(
    history.reduce((sum, { content }) => sum + content.length, 0),
    MAX_HISTORY_CHARACTERS,
    'messages before the question'
  )
  return { instructions, history, question, files, fileIds: [...fileIds] }

  function takePart(part: ContentPart, at: string[]): string {
    if (part.type === 'image_url') files.push(readData(urlOf(part), { at: [...at, 'image_url', 'url'], readFile }))
    else if (part.file?.file_id) fileIds.add(part.file.file_id)
    else
      files.push(
        readData(part.file?.file_data, { at: [...at, 'file', 'file_data'], name: part.file?.filename, readFile })
      )
    return ''
  }
}

function readTurn({ role, content, tool_calls, function_call }: ChatMessageBody, index: number): Turn {
  const at = ['body', 'messages', String(index)]
  const known = Object.hasOwn(ROLES, role) ? ROLES[role] : undefined
  if (known === undefined)
    throw invalid([...at, 'role'], 'must be system, developer, user or assistant; a chatflow uses its own tools')
  if (isThere(tool_calls)) throw invalid([...at, 'tool_calls'], 'is not supported: a chatflow uses its own tools')
  if (isThere(function_call)) throw invalid([...at, 'function_call'], 'is not supported: a chatflow uses its own tools')
  if ((content === undefined || content === null) && known !== 'assistant')
    throw invalid([...at, 'content'], 'is required')
  return { role: known, at, content: content ?? '' }
}

/** The text of a message; `other` says what an image or a file in it comes to. */
function textOf({ content, at }: Turn, other: (part: ContentPart, at: string[]) => string): string {
  if (typeof content === 'string') return content
  const texts = content.map((part, index) => {
    const here = [...at, 'content', String(index)]
    if (part.type === 'text') return part.text ?? ''
    if (part.type === 'refusal') return part.refusal ?? ''
    if (Object.hasOwn(LEFT_OUT, part.type)) return other(part, here)
    throw invalid([...here, 'type'], 'must be text, image_url or file')
  })
  return texts.filter((text) => text !== '').join('\n')
}

function leaveOut({ type }: ContentPart): string {
  return LEFT_OUT[type] ?? ''
}

function refusePart(_part: ContentPart, at: string[]): never {
  throw invalid([...at, 'type'], 'must be text')
}

function urlOf({ image_url: image }: ContentPart): unknown {
  return typeof image === 'object' && image !== null && 'url' in image ? image.url : image
}

function readData(
  data: unknown,
  { at, name, readFile }: { at: string[]; name?: string | null | undefined; readFile: ReadFile }
): ClaimedFile {
  if (typeof data !== 'string' || !/^data:/i.test(data))
    throw invalid(at, 'must be a data: URL; the gateway fetches nothing from elsewhere')
  try {
    return readFile(data, name ?? undefined)
  } catch (error) {
    if (error instanceof AppError) throw invalid(at, 'must be a data: URL with a type and valid base64')
    throw error
  }
}

function checkLength(length: number, most: number, what: string): void {
  if (length > most) throw invalid(['body', 'messages'], `may have at most ${most} characters of ${what}`)
}

function isThere(value: unknown): boolean {
  return value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0)
}
