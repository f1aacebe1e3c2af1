/** What a failure is about; plugins/problem.ts alone turns a kind into an HTTP status. */
export type ErrorKind =
  | 'malformed'
  | 'unauthenticated'
  | 'payment'
  | 'forbidden'
  | 'missing'
  | 'conflict'
  | 'too_large'
  | 'unsupported_type'
  | 'unsatisfiable'
  | 'invalid'
  | 'limited'
  | 'fault'
  | 'upstream'
  | 'unavailable'

/** Every code a client can meet: its kind and the sentence used when the thrower gives no better one. */
export const catalogue = {
  malformed_json: ['malformed', 'The body is not valid JSON.'],
  bad_request: ['malformed', 'The request is not a valid HTTP request.'],
  not_authenticated: ['unauthenticated', 'An access token is required: send Authorization: Bearer <token>.'],
  invalid_token: ['unauthenticated', 'The access token is not valid. Log in again.'],
  token_expired: ['unauthenticated', 'The access token has expired. Refresh it or log in again.'],
  token_revoked: ['unauthenticated', 'The access token has been revoked. Log in again.'],
  user_disabled: ['unauthenticated', 'This user is disabled.'],
  invalid_credentials: ['unauthenticated', 'Username or password is wrong.'],
  email_not_verified: ['unauthenticated', 'The e-mail address is not verified yet.'],
  invalid_refresh_token: ['unauthenticated', 'The refresh token is not valid. Log in again.'],
  insufficient_credits: ['payment', 'There are not enough credits for this prediction.'],
  role_required: ['forbidden', 'This needs the role admin.'],
  scope_required: ['forbidden', 'This key may not be used for this.'],
  origin_forbidden: ['forbidden', 'Pages of this origin may not use this.'],
  chatflow_forbidden: ['forbidden', 'You have no access to this chatflow. Ask an administrator to assign it to you.'],
  uploads_forbidden: ['forbidden', 'This chatflow takes no such files.'],
  upserts_forbidden: ['forbidden', 'Nobody may fill the vector store of this chatflow: it has no upsert_price.'],
  account_frozen: ['forbidden', 'This credit account is frozen. Ask an administrator.'],
  not_found: ['missing', 'There is nothing at this address.'],
  chatflow_not_found: ['missing', 'Unknown chatflow.'],
  session_not_found: ['missing', 'Unknown session.'],
  message_not_found: ['missing', 'Unknown message.'],
  feedback_not_found: ['missing', 'Unknown feedback.'],
  file_not_found: ['missing', 'Unknown file.'],
  receipt_not_found: ['missing', 'There is no receipt of this.'],
  user_not_found: ['missing', 'Unknown user.'],
  assignment_not_found: ['missing', 'This user has no access to this chatflow.'],
  token_not_found: ['missing', 'Unknown token.'],
  key_not_found: ['missing', 'Unknown API key.'],
  too_many_keys: ['conflict', 'There are too many API keys. Revoke one first.'],
  key_ended: ['conflict', 'This API key has been revoked or has expired.'],
  session_busy: ['conflict', 'A prediction is still running in this session.'],
  request_in_progress: ['conflict', 'The request with this idempotency key is still running.'],
  already_exists: ['conflict', 'It exists already.'],
  last_admin: ['conflict', 'The last active administrator cannot be removed, disabled or demoted.'],
  managed_externally: ['conflict', 'This is managed by an external service.'],
  sync_empty: ['conflict', 'Flowise listed no chatflows. Repeat with confirm=true if that is right.'],
  balance_would_be_negative: ['conflict', 'This takes more credits than are available.'],
  body_too_large: ['too_large', 'The body is too large.'],
  file_too_large: ['too_large', 'The file is too large.'],
  file_quota_exceeded: ['too_large', 'Your file storage is full.'],
  range_not_satisfiable: ['unsatisfiable', 'The file has no such range of bytes.'],
  unsupported_media_type: ['unsupported_type', 'This content type is not supported.'],
  validation_error: ['invalid', 'The request is not valid.'],
  idempotency_mismatch: ['invalid', 'This idempotency key was used for a different request.'],
  not_an_image: ['invalid', 'The file is not an image.'],
  rate_limited: ['limited', 'Too many predictions in the last minute.'],
  too_many_predictions: ['limited', 'Too many predictions are running at once.'],
  too_many_uploads: ['limited', 'Too many large requests are on their way at once.'],
  too_many_followers: ['limited', 'Too many clients follow this answer.'],
  login_rate_limited: ['limited', 'Too many failed logins. Wait before the next try.'],
  internal_error: ['fault', 'Something went wrong in the gateway.'],
  upstream_error: ['upstream', 'The chatflow failed.'],
  upstream_empty: ['upstream', 'The chatflow gave no answer.'],
  upstream_incomplete: ['upstream', 'The answer ended before it was complete.'],
  upstream_too_large: ['upstream', 'The answer of the chatflow is too large.'],
  upstream_unavailable: ['unavailable', 'Flowise cannot be reached.'],
  upstream_timeout: ['unavailable', 'The chatflow did not answer in time.'],
  deadline_exceeded: ['unavailable', 'The prediction took longer than allowed.'],
  credits_exhausted: ['payment', 'The credits ran out during the answer.'],
  auth_unavailable: ['unavailable', 'The authentication service cannot be reached.'],
  accounting_unavailable: ['unavailable', 'The accounting service cannot be reached.'],
  report_not_ready: [
    'unavailable',
    'The usage of these days is still being added up. Try again in a moment, or ask for fewer days.'
  ],
  store_unavailable: ['unavailable', 'The store cannot be reached.'],
  draining: ['unavailable', 'The gateway is shutting down. Try again in a moment.'],
  overloaded: ['unavailable', 'The gateway is full. Try again in a moment.']
} as const satisfies Record<string, readonly [ErrorKind, string]>

export type ErrorCode = keyof typeof catalogue

/** True for a code of the catalogue. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(catalogue, code)
}

/** One validation complaint: where it is (`['body','question']`) and what is wrong. */
export interface Complaint {
  loc: string[]
  msg: string
}

export interface ErrorParams {
  /** Sentence for the client; ignored for faults, upstream and unavailable kinds, whose text stays generic. */
  detail?: string
  /** Seconds; becomes Retry-After. */
  retryAfterSeconds?: number
  errors?: Complaint[]
  /** Further members of the problem body (amounts of a 402). */
  extra?: Record<string, string | number | boolean>
}

/** The one error of this project: a code of the catalogue, what the client may know, and the cause for the log. */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly kind: ErrorKind
  readonly params: ErrorParams

  constructor(code: ErrorCode, params: ErrorParams = {}, options?: { cause?: unknown }) {
    const { stackTraceLimit } = Error
    // Only a fault is looked for in the code.
    if (catalogue[code][0] !== 'fault') Error.stackTraceLimit = 0
    super(params.detail ?? catalogue[code][1], options)
    Error.stackTraceLimit = stackTraceLimit
    this.name = 'AppError'
    this.code = code
    this.kind = catalogue[code][0]
    this.params = params
  }
}

/** Does what fails often, for reasons that are the caller's: stacks cost more than the rest, and nobody reads them. */
export function withoutStacks<T>(work: () => T): T {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return work()
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

/** A 422 for one member: `invalid(['body', 'email'], 'must be an e-mail address')`. */
export function invalid(loc: string[], msg: string): AppError {
  return new AppError('validation_error', { detail: `${loc.slice(1).join('.')} ${msg}`.trim(), errors: [{ loc, msg }] })
}
