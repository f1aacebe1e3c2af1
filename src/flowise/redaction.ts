import type { Frame } from './frame.ts'
import { isRecord, pick } from './json.ts'

/** Members of Flowise's JSON answer that a client gets unless the chatflow says otherwise. */
export const DEFAULT_RESPONSE_FIELDS: readonly string[] = [
  'text',
  'json',
  'question',
  'sourceDocuments',
  'artifacts',
  'fileAnnotations',
  'followUpPrompts'
]

/** Events of Flowise's stream that a client gets unless the chatflow says otherwise. */
export const DEFAULT_STREAM_EVENTS: readonly string[] = [
  'start',
  'token',
  'thinking',
  'sourceDocuments',
  'artifacts',
  'fileAnnotations',
  'nextAgent',
  'nextAgentFlow',
  'agentFlowEvent'
]

/** Members that no list lets through: with them one could reach a conversation past the gateway. */
export const HIDDEN_FIELDS: readonly string[] = ['chatId', 'sessionId', 'memoryType', 'chatMessageId']

/** Events that only the gateway itself writes, whatever Flowise sends under these names. */
export const OWN_EVENTS: readonly string[] = ['session_id', 'files_uploaded', 'message', 'metadata', 'error', 'end']

/** What flowise-embed cannot do without: its bubble, its Stop button, its approval buttons, its voice. */
const EMBED_EVENTS: readonly string[] = [
  'start',
  'agentFlowEvent',
  'nextAgentFlow',
  'agentFlowExecutedData',
  'action',
  'tts_start',
  'tts_data',
  'tts_end',
  'tts_abort'
]
const EMBED_FIELDS: readonly string[] = ['form', 'agentFlowExecutedData', 'action']

/** Of the object on the wire; what else stands in it may be an id. */
const FRAME_MEMBERS: readonly string[] = ['event', 'data', 'duration']

const REDUCERS: Record<string, (data: unknown) => unknown> = {
  start: (data) => (typeof data === 'string' ? data : ''),
  agentFlowEvent: (data) => (typeof data === 'string' ? data : ''),
  nextAgentFlow: (data) => (isRecord(data) ? pick(data, ['nodeId', 'nodeLabel', 'status']) : {}),
  agentFlowExecutedData: reduceExecutedData,
  action: reduceAction
}

/** An event as it may leave the gateway: `json` is one line, an object that begins with `event`. */
export interface PublicEvent {
  event: string
  json: string
}

/** What a client may see of Flowise's JSON answer: the listed fields, never the hidden ones, no prompts or keys. */
export function filterResult(answer: Record<string, unknown>, fields: readonly string[]): Record<string, unknown> {
  const visible = Object.entries(pick(answer, fields)).filter(([name]) => !HIDDEN_FIELDS.includes(name))
  return Object.fromEntries(visible.map(([name, value]) => [name, reduceField(name, value)]))
}

/** What a client may see of a stream's event; undefined if nothing. An event that needs no change keeps its text. */
export function filterEvent(frame: Frame, allowedEvents: readonly string[]): PublicEvent | undefined {
  if (!allowedEvents.includes(frame.event) || OWN_EVENTS.includes(frame.event)) return undefined
  const data = reduceField(frame.event, frame.data)
  if (data === frame.data && Object.keys(frame.members).every((name) => FRAME_MEMBERS.includes(name)))
    return { event: frame.event, json: frame.json }
  const beside = pick(frame.members, ['duration'])
  return { event: frame.event, json: JSON.stringify({ event: frame.event, data, ...beside }) }
}

/** As `filterResult`, for clients made for Flowise; the caller adds the ids, mapped. */
export function filterFlowiseResult(
  answer: Record<string, unknown>,
  fields: readonly string[]
): Record<string, unknown> {
  return filterResult(answer, [...fields, ...EMBED_FIELDS])
}

/** `filterEvent` for clients made for Flowise; `metadata`, `error`, `abort` and `end` are the caller's. */
export function createFlowiseFilter(allowedEvents: readonly string[]): (frame: Frame) => PublicEvent | undefined {
  const events = [...allowedEvents, ...EMBED_EVENTS]
  return (frame) => filterEvent(frame, events)
}

/** What a client made for Flowise may see of its metadata event; the caller adds the ids, mapped. */
export function filterFlowiseMetadata(metadata: Record<string, unknown>): Record<string, unknown> {
  return filterResult(metadata, ['question', 'followUpPrompts', 'action'])
}

/** The value of a field or event without what belongs to the chatflow's author: prompts, tool inputs, keys, provider texts. */
export function reduceField(name: string, value: unknown): unknown {
  const reduce = Object.hasOwn(REDUCERS, name) ? REDUCERS[name] : undefined
  return reduce === undefined ? value : reduce(value)
}

function reduceExecutedData(data: unknown): unknown {
  if (!Array.isArray(data)) return []
  return data.filter(isRecord).map((node) => ({
    // flowise-embed reads the length of previousNodeIds without asking whether it is there.
    previousNodeIds: [],
    ...pick(node, ['nodeId', 'nodeLabel', 'status', 'previousNodeIds'])
  }))
}

function reduceAction(data: unknown): unknown {
  if (!isRecord(data)) return {}
  const action = pick(data, ['id', 'mapping', 'elements'])
  // The node's own input stands beside its id here: messages and prompts. The id is what resuming needs.
  return isRecord(data.data) ? { ...action, data: pick(data.data, ['nodeId', 'nodeLabel']) } : action
}
