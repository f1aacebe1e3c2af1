import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { qualityOf } from '../src/accept.ts'
import { AppError, type Complaint, catalogue, type ErrorCode, type ErrorKind } from '../src/errors.ts'
import { Problem } from '../src/schema.ts'

const statusOfKind: Record<ErrorKind, number> = {
  malformed: 400,
  unauthenticated: 401,
  payment: 402,
  forbidden: 403,
  missing: 404,
  conflict: 409,
  too_large: 413,
  unsupported_type: 415,
  unsatisfiable: 416,
  invalid: 422,
  limited: 429,
  fault: 500,
  upstream: 502,
  unavailable: 503
}

const titles: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  402: 'Payment Required',
  403: 'Forbidden',
  404: 'Not Found',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  416: 'Range Not Satisfiable',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable'
}

/** What Fastify's own errors mean in our catalogue; all other FST_ codes with a 4xx status are bad_request. */
const fastifyCodes: Record<string, ErrorCode> = {
  // A malformed id in a path is an unknown one.
  FST_ERR_MAX_PARAM_LENGTH: 'not_found',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_INVALID_JSON_BODY: 'malformed_json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed_json',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'bad_request'
}

/** The HTTP status of a code. */
export function statusOf(code: ErrorCode): number {
  return statusOfKind[catalogue[code][0]]
}

/** The problem body (RFC 9457 and the two legacy members) of an error. */
export function problemBody(error: AppError, requestId: string, instance: string): Record<string, unknown> {
  const status = statusOfKind[error.kind]
  // The text of what went wrong behind the gateway is for the log; clients get the catalogue's sentence.
  const isInternal = error.kind === 'fault' || error.kind === 'upstream' || error.kind === 'unavailable'
  const detail = isInternal ? catalogue[error.code][1] : error.message
  const { errors, extra } = error.params
  return {
    type: 'about:blank',
    title: titles[status] ?? 'Error',
    status,
    detail,
    code: error.code,
    request_id: requestId,
    instance,
    message: detail,
    error: error.code,
    ...(errors ? { errors } : {}),
    ...extra
  }
}

/** Any thrown thing as one of our errors; what we did not expect is internal_error with the cause for the log. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error
  if (!(error instanceof Error)) return new AppError('internal_error', {}, { cause: error })
  const { code, statusCode, validation, validationContext } = error as FastifyError
  if (validation) return validationError(validation, validationContext ?? 'body')
  const known = code ? fastifyCodes[code] : undefined
  if (known) return new AppError(known, {}, { cause: error })
  if (statusCode === 413) return new AppError('body_too_large', {}, { cause: error })
  if (statusCode === 415) return new AppError('unsupported_media_type', {}, { cause: error })
  if (statusCode === 503) return new AppError('overloaded', {}, { cause: error })
  if (statusCode && statusCode >= 400 && statusCode < 500) return new AppError('bad_request', {}, { cause: error })
  return new AppError('internal_error', {}, { cause: error })
}

/** Sets status and headers of an error on the reply and returns the body to send. */
export function prepareProblem(error: AppError, request: FastifyRequest, reply: FastifyReply): string {
  reply.code(statusOfKind[error.kind])
  if (error.kind === 'unauthenticated') reply.header('www-authenticate', 'Bearer')
  const isRetryable = error.kind === 'unavailable' || error.kind === 'limited'
  const retryAfter = error.params.retryAfterSeconds ?? (isRetryable || error.code === 'session_busy' ? 1 : undefined)
  if (retryAfter !== undefined) reply.header('retry-after', String(Math.max(1, Math.ceil(retryAfter))))
  const isProblemWanted = qualityOf(request.headers.accept, 'application/problem+json') > 0
  reply.header('content-type', isProblemWanted ? 'application/problem+json' : 'application/json')
  const path = request.originalUrl.split('?')[0] ?? ''
  return JSON.stringify(problemBody(error, request.id, path))
}

/** One way from any failure to a problem reply: thrown errors, unknown routes, and what never reaches a route. */
export default fp(
  async function problem(app: FastifyInstance) {
    app.addSchema(Problem)
    app.setErrorHandler((error, request, reply) => sendProblem(toAppError(error), request, reply))
    app.setNotFoundHandler((request, reply) => sendProblem(new AppError('not_found'), request, reply))
  },
  { name: 'problem' }
)

/** Logs (faults loudly, refusals quietly) and answers. */
export function sendProblem(error: AppError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  logFailure(error, request)
  return reply.send(prepareProblem(error, request, reply))
}

/** The line in the log that each failed request has. */
export function logFailure(error: AppError, request: FastifyRequest): void {
  if (error.kind === 'fault') request.log.error({ err: error }, 'request failed')
  else if (error.kind === 'upstream' || error.kind === 'unavailable')
    request.log.warn({ err: error }, 'dependency failed')
  else request.log.debug({ code: error.code }, 'request refused')
}

function validationError(validation: NonNullable<FastifyError['validation']>, context: string): AppError {
  const part = context === 'querystring' ? 'query' : context === 'params' ? 'path' : context
  const errors: Complaint[] = validation.slice(0, 20).map((issue) => {
    const missing = issue.keyword === 'required' ? [String(issue.params.missingProperty)] : []
    const loc = [part, ...issue.instancePath.split('/').slice(1), ...missing]
    return { loc, msg: missing.length > 0 ? 'is required' : messageOf(issue) }
  })
  // A malformed id in a path is an unknown one.
  if (part === 'path') return new AppError('not_found')
  const first = errors[0]
  const detail = first ? `${first.loc.slice(1).join('.') || first.loc[0]}: ${first.msg}` : undefined
  return new AppError('validation_error', { ...(detail ? { detail } : {}), errors })
}

/** Ajv's sentence, except where it would show a regular expression instead of telling what is wanted. */
function messageOf({
  keyword,
  message,
  parentSchema
}: {
  keyword: string
  message?: string
  parentSchema?: unknown
}): string {
  if (keyword !== 'pattern') return message ?? 'is not valid'
  const isDescribed = typeof parentSchema === 'object' && parentSchema !== null && 'description' in parentSchema
  return isDescribed ? `must be ${String(parentSchema.description)}` : 'has characters or a form that is not allowed'
}
