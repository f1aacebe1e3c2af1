import { type AppError, catalogue, type ErrorCode, type ErrorKind } from '../errors.ts'

const AGAIN = 'Please try again in a moment.'
const SIGN_IN = 'Please reload the page or sign in again.'

/** What is said in a chat window, where the catalogue speaks to programmers. */
const SENTENCES: Partial<Record<ErrorCode, string>> = {
  malformed_json: 'This message could not be read.',
  bad_request: 'This message could not be read.',
  not_authenticated: `You are not signed in. ${SIGN_IN}`,
  invalid_token: `Your access to this chat is not valid. ${SIGN_IN}`,
  token_expired: 'This chat has expired. Please reload the page.',
  token_revoked: `Your access to this chat has ended. ${SIGN_IN}`,
  user_disabled: 'This account is disabled.',
  insufficient_credits: 'There are not enough credits left for this chat.',
  credits_exhausted: 'The credits ran out during this answer.',
  scope_required: 'This chat does not allow that.',
  origin_forbidden: 'This chat may not be used on this page.',
  chatflow_forbidden: 'You have no access to this chat.',
  account_frozen: 'The credits of this chat are frozen. Please ask an administrator.',
  uploads_forbidden: 'This chat does not take such files.',
  upserts_forbidden: 'This chat does not keep documents.',
  chatflow_not_found: 'This chat does not exist any more.',
  session_not_found: 'This conversation does not exist any more. Please start a new one.',
  session_busy: 'The answer before this one is still being written. Please wait for it.',
  request_in_progress: 'This message is being answered already.',
  body_too_large: 'This message or its files are too large.',
  file_too_large: 'This file is too large.',
  file_quota_exceeded: 'There is no room for more files.',
  unsupported_media_type: 'Files or messages of this kind are not supported.',
  rate_limited: 'That was a lot of messages in a short time. Please wait a minute.',
  too_many_predictions: 'Too many answers are being written at once. Please wait for one of them.',
  too_many_uploads: 'Too many files are being sent at once. Please wait for one of them.',
  upstream_error: `The assistant could not answer. ${AGAIN}`,
  upstream_empty: `The assistant gave no answer. ${AGAIN}`,
  upstream_incomplete: 'The answer ended before it was complete.',
  upstream_too_large: 'The answer is too large.',
  upstream_timeout: `The assistant did not answer in time. ${AGAIN}`,
  deadline_exceeded: 'The answer took longer than allowed.',
  draining: `The assistant is restarting. ${AGAIN}`,
  overloaded: `The assistant is very busy. ${AGAIN}`
}

/** These kinds say nothing of the cause to anybody. */
const SENTENCES_OF_KIND: Partial<Record<ErrorKind, string>> = {
  fault: `Something went wrong. ${AGAIN}`,
  unavailable: `The assistant cannot be reached right now. ${AGAIN}`
}

/** By the `reason` of a 402. */
const REASONS: Record<string, string> = {
  held_by_inflight: 'The credits left are set aside for answers that are still being written. Please wait for them.',
  key_budget_exhausted: 'The credits of this chat are used up.',
  flow_budget_exhausted: 'The credits of this chat are used up.'
}

/** What a person in a chat window is told about a failure that is known by its code alone. */
export function sentenceFor(code: ErrorCode): string {
  const [kind, otherwise] = catalogue[code]
  return SENTENCES[code] ?? SENTENCES_OF_KIND[kind] ?? otherwise
}

/** What a person in a chat window is told about a failure: short, what to do, and nothing from behind the gateway. */
export function sentenceOf({ code, kind, message, params }: AppError): string {
  const { reason, available } = params.extra ?? {}
  if (code === 'insufficient_credits')
    return REASONS[String(reason)] ?? (available === 0 ? 'There are no credits left for this chat.' : sentenceFor(code))
  // What is wrong with a request is known best by whoever refused it.
  return SENTENCES[code] === undefined && SENTENCES_OF_KIND[kind] === undefined ? message : sentenceFor(code)
}
