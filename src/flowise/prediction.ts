import { invalid } from '../errors.ts'
import { pick } from './json.ts'

export interface HistoryMessage {
  role: string
  content: string
}

export interface PredictionInput {
  /** Absent when a form is sent: Flowise refuses both together. */
  question?: string | undefined
  /** Flowise's own ids, minted by the gateway; never what a client sent. */
  chatId: string
  sessionId: string
  streaming: boolean
  history?: readonly HistoryMessage[] | undefined
  overrideConfig?: Record<string, unknown> | undefined
  /** Top-level keys of `overrideConfig` that may pass. */
  overrideAllow: readonly string[]
  form?: Record<string, unknown> | undefined
  humanInput?: Record<string, unknown> | undefined
  action?: Record<string, unknown> | undefined
  leadEmail?: string | undefined
}

/** What is sent to Flowise. */
export interface PredictionBody {
  chatId: string
  overrideConfig: Record<string, unknown>
  streaming: boolean
  /** question, form, history, humanInput, action, leadEmail, where given. */
  [member: string]: unknown
}

/** Override keys that Flowise obeys whatever the chatflow's settings say: they would open other sessions or redirect traces. */
export const RESERVED_OVERRIDES: readonly string[] = ['sessionId', 'analytics']

const ROLES: Record<string, 'userMessage' | 'apiMessage'> = {
  user: 'userMessage',
  userMessage: 'userMessage',
  assistant: 'apiMessage',
  apiMessage: 'apiMessage'
}

/** Flowise's name of a history role; undefined if the role is unknown. */
export function flowiseRole(role: string): 'userMessage' | 'apiMessage' | undefined {
  return Object.hasOwn(ROLES, role) ? ROLES[role] : undefined
}

/**
 * The body for Flowise, built member by member: what is not named here never reaches it.
 * @throws validation_error for a history role that Flowise does not know
 */
export function buildPredictionBody(input: PredictionInput): PredictionBody {
  const allowed = input.overrideAllow.filter((key) => !RESERVED_OVERRIDES.includes(key))
  const optional = {
    question: input.question,
    form: input.form,
    history: input.history?.map(toFlowiseMessage),
    humanInput: input.humanInput && pick(input.humanInput, ['type', 'startNodeId', 'feedback']),
    action: input.action && pick(input.action, ['id', 'mapping', 'elements']),
    leadEmail: input.leadEmail
  }
  return {
    ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)),
    chatId: input.chatId,
    overrideConfig: { ...pick(input.overrideConfig ?? {}, allowed), sessionId: input.sessionId },
    streaming: input.streaming
  }
}

function toFlowiseMessage({ role, content }: HistoryMessage, index: number): HistoryMessage {
  const known = flowiseRole(role)
  if (known === undefined) throw invalid(['body', 'history', String(index), 'role'], 'must be user or assistant')
  return { role: known, content }
}
