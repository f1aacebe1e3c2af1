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
  const { question, form, history, humanInput, action, leadEmail, overrideConfig } = input
  const body: PredictionBody = {
    chatId: input.chatId,
    overrideConfig: {
      ...(overrideConfig && allowedOf(overrideConfig, input.overrideAllow)),
      sessionId: input.sessionId
    },
    streaming: input.streaming
  }
  if (question !== undefined) body.question = question
  if (form) body.form = form
  if (history) body.history = history.map(toFlowiseMessage)
  if (humanInput) body.humanInput = pick(humanInput, ['type', 'startNodeId', 'feedback'])
  if (action) body.action = pick(action, ['id', 'mapping', 'elements'])
  if (leadEmail !== undefined) body.leadEmail = leadEmail
  return body
}

function allowedOf(overrides: Record<string, unknown>, allow: readonly string[]): Record<string, unknown> {
  return pick(
    overrides,
    allow.filter((key) => !RESERVED_OVERRIDES.includes(key))
  )
}

function toFlowiseMessage({ role, content }: HistoryMessage, index: number): HistoryMessage {
  const known = flowiseRole(role)
  if (known === undefined) throw invalid(['body', 'history', String(index), 'role'], 'must be user or assistant')
  return { role: known, content }
}
