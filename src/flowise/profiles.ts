/** For whom a chatflow's answers are cut: strangers, people with a grant, the people who make the flow. */
export type Profile = 'public' | 'member' | 'developer'

/** From the one that shows least to the one that shows all. */
const ORDER: readonly Profile[] = ['public', 'member', 'developer']

/** What an administrator set for a chatflow; what is absent is the default. */
export interface RedactionSettings {
  redaction?: Profile
  /** Members of Flowise's JSON that reach the client. */
  responseFields?: readonly string[]
  /** Flowise events that reach the client. */
  streamEvents?: readonly string[]
}

/** Members of Flowise's JSON answer that a member gets unless the chatflow says otherwise. */
export const DEFAULT_RESPONSE_FIELDS: readonly string[] = [
  'text',
  'json',
  'question',
  'sourceDocuments',
  'artifacts',
  'fileAnnotations',
  'followUpPrompts'
]

/** Events of Flowise's stream that a member gets unless the chatflow says otherwise. */
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

const PUBLIC_FIELDS: readonly string[] = ['text', 'json', 'question', 'artifacts', 'fileAnnotations', 'followUpPrompts']
const PUBLIC_EVENTS: readonly string[] = ['artifacts', 'fileAnnotations']

/** Without these a client has an answer and shows none, so no list takes them away. */
const ALWAYS_EVENTS: readonly string[] = ['start', 'token', 'agentFlowEvent']

/** What flowise-embed cannot do without: its bubble, its Stop button, its approval buttons, its voice. */
const EMBED_EVENTS: readonly string[] = [
  'nextAgentFlow',
  'agentFlowExecutedData',
  'action',
  'tts_start',
  'tts_data',
  'tts_end',
  'tts_abort'
]
const EMBED_FIELDS: readonly string[] = ['form', 'agentFlowExecutedData', 'action']

/** The names a profile lets through, on the gateway's own paths and on those of Flowise. */
export interface Allowed {
  events: ReadonlySet<string>
  flowiseEvents: ReadonlySet<string>
  fields: readonly string[]
  flowiseFields: readonly string[]
}

/** True if `left` may see what `right` may not. */
export function showsMore(left: Profile, right: Profile): boolean {
  return ORDER.indexOf(left) > ORDER.indexOf(right)
}

/** As nearly all chatflows have it, and therefore made once. */
const USUAL = {
  toMembers: allowed(DEFAULT_STREAM_EVENTS, DEFAULT_RESPONSE_FIELDS),
  toStrangers: allowed(PUBLIC_EVENTS, PUBLIC_FIELDS)
}

/** What people with a grant see: an administrator's list instead of the default one. */
export function allowedToMembers({ responseFields, streamEvents }: RedactionSettings): Allowed {
  if (responseFields === undefined && streamEvents === undefined) return USUAL.toMembers
  return allowed(streamEvents ?? DEFAULT_STREAM_EVENTS, responseFields ?? DEFAULT_RESPONSE_FIELDS)
}

/** What strangers see: an administrator's list can take away from it and add nothing. */
export function allowedToStrangers({ responseFields, streamEvents }: RedactionSettings): Allowed {
  if (responseFields === undefined && streamEvents === undefined) return USUAL.toStrangers
  return allowed(listed(PUBLIC_EVENTS, streamEvents), listed(PUBLIC_FIELDS, responseFields))
}

function listed(names: readonly string[], list: readonly string[] | undefined): readonly string[] {
  return list === undefined ? names : names.filter((name) => list.includes(name))
}

function allowed(events: readonly string[], fields: readonly string[]): Allowed {
  return {
    events: new Set([...ALWAYS_EVENTS, ...events]),
    flowiseEvents: new Set([...ALWAYS_EVENTS, ...events, ...EMBED_EVENTS]),
    fields,
    flowiseFields: [...fields, ...EMBED_FIELDS]
  }
}
