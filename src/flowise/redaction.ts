import type { Frame } from './frame.ts'
import { isRecord, pick } from './json.ts'
import { type Allowed, allowedToMembers, allowedToStrangers, type Profile, type RedactionSettings } from './profiles.ts'
import { reduceField } from './reduce.ts'

/** Members that no list lets through: with them one could reach a conversation past the gateway. */
export const HIDDEN_FIELDS: readonly string[] = ['chatId', 'sessionId', 'memoryType', 'chatMessageId']

/** Events that only the gateway itself writes, whatever Flowise sends under these names. */
const OWN_EVENTS: ReadonlySet<string> = new Set([
  'session_id',
  'files_uploaded',
  'message',
  'metadata',
  'error',
  'abort',
  'end'
])
const OWN_PREFIX = 'gateway.'
const FOLLOWING_TEXT = ['question', 'followUpPrompts', 'action']

/** An event as it may leave the gateway: `json` is one line, an object that begins with `event`. */
export interface PublicEvent {
  event: string
  json: string
}

/** What of one prediction may leave the gateway; decided once, when it begins. @see docs/adr/0021-redaction-profiles.md */
export interface Redaction extends View {
  /** Names of the fields that the history keeps. */
  readonly kept: readonly string[]
  /** What is stored of an answer: never more than a member may see, and no execution data. */
  readonly stored: View
}

/** What of a prediction somebody may see. Its functions may be handed on: none of them needs the view. */
export interface View {
  readonly profile: Profile
  /** What may be seen of a stream's event; undefined if nothing. An event that needs no change keeps its text. */
  readonly event: EventFilter
  /** The same for clients made for Flowise; `metadata`, `error`, `abort` and `end` are the caller's. */
  readonly flowiseEvent: EventFilter
  /** What may be seen of Flowise's JSON answer. */
  readonly result: MembersFilter
  /** The same for clients made for Flowise; the caller adds the ids, mapped. */
  readonly flowiseResult: MembersFilter
  /** What a client made for Flowise may see of its metadata event; the caller adds the ids, mapped. */
  readonly flowiseMetadata: MembersFilter
}

export type EventFilter = (frame: Frame) => PublicEvent | undefined
type MembersFilter = (members: Record<string, unknown>) => Record<string, unknown>

export interface Viewer {
  /** Came by an embed token: nothing but what is public, whatever the chatflow allows others. */
  isStranger: boolean
  /** The gateway's id of the answer, in place of Flowise's. */
  messageId: string
}

/** What this viewer gets to see of a prediction of a chatflow with these settings. */
export function createRedaction(settings: RedactionSettings, { isStranger, messageId }: Viewer): Redaction {
  const profile = isStranger ? 'public' : (settings.redaction ?? 'member')
  const isPublic = profile === 'public'
  const allowed = isPublic ? allowedToStrangers(settings) : allowedToMembers(settings)
  const stored = new ReducedView(isPublic ? 'public' : 'member', allowed, messageId)
  return profile === 'developer' ? new WholeView(stored, messageId) : stored
}

/** True for a name under which only the gateway speaks. */
export function isOwnEvent(name: string): boolean {
  return OWN_EVENTS.has(name) || name.startsWith(OWN_PREFIX)
}

/** The listed fields of an answer, never the hidden ones, without prompts and keys. */
export function filterResult(answer: Record<string, unknown>, fields: readonly string[]): Record<string, unknown> {
  const visible = Object.entries(withoutIds(pick(answer, fields)))
  return Object.fromEntries(visible.map(([name, value]) => [name, reduceField(name, value)]))
}

/** A class, because each prediction has one, and asks it for one function or two. */
class ReducedView implements Redaction {
  readonly profile: Profile
  readonly #allowed: Allowed
  readonly #messageId: string

  constructor(profile: Profile, allowed: Allowed, messageId: string) {
    this.profile = profile
    this.#allowed = allowed
    this.#messageId = messageId
  }

  get kept(): readonly string[] {
    return this.#allowed.fields
  }

  get stored(): View {
    return this
  }

  get event(): EventFilter {
    return (frame) => reduceEvent(frame, this.#allowed.events, this.#messageId)
  }

  get flowiseEvent(): EventFilter {
    return (frame) => reduceEvent(frame, this.#allowed.flowiseEvents, this.#messageId)
  }

  get result(): MembersFilter {
    return (answer) => filterResult(answer, this.#allowed.fields)
  }

  get flowiseResult(): MembersFilter {
    return (answer) => filterResult(answer, this.#allowed.flowiseFields)
  }

  get flowiseMetadata(): MembersFilter {
    return (metadata) => filterResult(metadata, FOLLOWING_TEXT)
  }
}

/** What the people see who make the flow; what is stored is reduced all the same. */
class WholeView implements Redaction {
  readonly profile = 'developer'
  readonly stored: View
  readonly kept: readonly string[]
  readonly #messageId: string

  constructor(stored: ReducedView, messageId: string) {
    this.stored = stored
    this.kept = stored.kept
    this.#messageId = messageId
  }

  get event(): EventFilter {
    return (frame) => wholeEvent(frame, this.#messageId)
  }

  get flowiseEvent(): EventFilter {
    return this.event
  }

  get result(): MembersFilter {
    return withoutIds
  }

  get flowiseResult(): MembersFilter {
    return withoutIds
  }

  get flowiseMetadata(): MembersFilter {
    return withoutIds
  }
}

function reduceEvent(frame: Frame, events: ReadonlySet<string>, messageId: string): PublicEvent | undefined {
  const { event } = frame
  // Nearly all events are tokens: nothing of them is looked up or copied.
  if (event === 'token' && typeof frame.data === 'string' && hasNothingBeside(frame)) return frame
  if (!events.has(event) || isClosed(event)) return undefined
  const data = withOwnId(event, reduceField(event, frame.data), messageId)
  if (data === frame.data && hasNothingBeside(frame)) return frame
  const beside = pick(frame.members, ['duration'])
  return { event, json: JSON.stringify({ event, data, ...beside }) }
}

function wholeEvent(frame: Frame, messageId: string): PublicEvent | undefined {
  const { event } = frame
  if (event === 'token' && hasNothingBeside(frame)) return frame
  if (isClosed(event)) return undefined
  const data = withOwnId(event, frame.data, messageId)
  if (data === frame.data && !HIDDEN_FIELDS.some((name) => name in frame.members)) return frame
  const { event: _event, ...members } = withoutIds(frame.members)
  return { event, json: JSON.stringify({ event, ...members, data }) }
}

/** Whether an event of this name never leaves, whatever is listed. */
function isClosed(event: string): boolean {
  return isOwnEvent(event) || HIDDEN_FIELDS.includes(event)
}

/** Of the object on the wire; what else stands in it may be an id. */
function hasNothingBeside({ members }: Frame): boolean {
  for (const name in members) if (name !== 'event' && name !== 'data' && name !== 'duration') return false
  return true
}

/** Spoken answers name the message they belong to. */
function withOwnId(event: string, data: unknown, messageId: string): unknown {
  return event.startsWith('tts_') && isRecord(data) ? { ...data, chatMessageId: messageId } : data
}

function withoutIds(members: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([name]) => !HIDDEN_FIELDS.includes(name)))
}
