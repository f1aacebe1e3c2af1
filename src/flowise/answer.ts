import { createFrame, type Frame } from './frame.ts'
import { isRecord, isTooDeep, parseJson } from './json.ts'
import { isOwnEvent } from './redaction.ts'
import type { Told } from './transcript.ts'

/** Flowise's JSON answer, read. */
export interface Answer {
  /** What the assistant says; empty if it says nothing. */
  text: string
  /** True if there is nothing to deliver: no text and no artifacts. */
  isEmpty: boolean
  hasArtifacts: boolean
  /** The answer as an object, unfiltered. */
  result: Record<string, unknown>
  chatMessageId?: string
  /** A JSON text of an array, encoded once, as in the metadata event of a stream. */
  followUpPrompts?: string
}

/** Reads Flowise's JSON answer, whatever its shape: text, else `json` serialised, else nothing. */
export function readAnswer(json: unknown): Answer {
  const result = membersOf(json)
  const text = textOf(result.text) || textOf(result.json)
  const hasArtifacts = Array.isArray(result.artifacts) && result.artifacts.length > 0
  const answer: Answer = { text, isEmpty: text === '' && !hasArtifacts, hasArtifacts, result }
  if (typeof result.chatMessageId === 'string') answer.chatMessageId = result.chatMessageId
  const followUpPrompts = readFollowUpPrompts(result.followUpPrompts)
  if (followUpPrompts !== undefined) answer.followUpPrompts = followUpPrompts
  return answer
}

/** The events a stream would have had: the text as one token, then each field of `visible` under its own name. */
export function answerFrames(answer: Answer, visible: Record<string, unknown>): Frame[] {
  const { text: _text, question: _question, followUpPrompts: _prompts, json, ...others } = visible
  const frames = Object.entries(others)
    .filter(([name]) => !isOwnEvent(name))
    .map(([name, data]) => createFrame(name, data))
  // The serialised json is the text already when Flowise sent no text.
  if (json !== undefined && textOf(answer.result.text) !== '') frames.unshift(createFrame('json', json))
  return answer.text === '' ? frames : [createFrame('token', answer.text), ...frames]
}

/** The same with every member as Flowise sent it: for the transcript, which counts and keeps what it may. */
export function producedFrames({ text, result }: Answer): Told[] {
  const frames: Told[] = text === '' ? [] : [{ event: 'token', data: text }]
  for (const event in result) if (!isOwnEvent(event) && event !== 'token') frames.push({ event, data: result[event] })
  return frames
}

/** Follow-up prompts as a JSON text encoded once; Flowise encodes them twice in JSON answers. */
export function readFollowUpPrompts(value: unknown): string | undefined {
  if (Array.isArray(value)) return JSON.stringify(value)
  if (typeof value !== 'string' || value === '') return undefined
  const decoded = parseJson(value)
  return typeof decoded === 'string' ? decoded : value
}

/** The answer as an object, without members that nest too deep. */
function membersOf(json: unknown): Record<string, unknown> {
  if (json === null || json === undefined) return {}
  const members = isRecord(json) ? json : { [typeof json === 'string' ? 'text' : 'json']: json }
  if (!Object.values(members).some((value) => isTooDeep(value))) return members
  return Object.fromEntries(Object.entries(members).filter(([, value]) => !isTooDeep(value)))
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  return value === null || value === undefined ? '' : JSON.stringify(value)
}
