import { isNamed } from '../accept.ts'
import { AppError } from '../errors.ts'
import { type Static, Type } from '../schema.ts'
import { isRecord } from './json.ts'
import { sentenceOf } from './sentences.ts'

/** How a failure is told to a client made for Flowise. @see docs/adr/0018-errors-on-flowises-path.md */
export type FailureForm = 'problem' | 'text' | 'stream' | 'json'

/** An error where Flowise has its API: the sentence under both names that its clients read. */
export const FlowiseError = Type.Object(
  {
    statusCode: Type.Integer(),
    success: Type.Literal(false),
    message: Type.String({ description: 'a sentence for people' }),
    error: Type.String({ description: 'the same sentence' }),
    code: Type.String(),
    status: Type.Integer(),
    request_id: Type.String(),
    errors: Type.Optional(Type.Array(Type.Object({ loc: Type.Array(Type.String()), msg: Type.String() })))
  },
  { $id: 'FlowiseError', additionalProperties: true }
)

/** What of a request decides in which form its failure is told. */
export interface Asked {
  accept: string | undefined
  /** As parsed; null or undefined if it never was. */
  body: unknown
}

/** The widget shows the bodies of these when it streams, and swallows all others. */
const SHOWN_STATUSES: readonly number[] = [401, 403, 429]

/** True if a prediction on Flowise's path is to be streamed: as at Flowise, for these two values and no others. */
export function isStreamingValue(streaming: unknown): boolean {
  return streaming === true || streaming === 'true'
}

/** The form in which the client behind this request can show a failure of this status. */
export function failureFormOf(status: number, { accept, body }: Asked): FailureForm {
  if (isNamed(accept, 'application/problem+json')) return 'problem'
  const wantsStream = isRecord(body) ? isStreamingValue(body.streaming) : isNamed(accept, 'text/event-stream')
  if (!wantsStream) return 'json'
  return SHOWN_STATUSES.includes(status) ? 'text' : 'stream'
}

/** The error as a visitor of somebody's page may see it: without what its owner has and pays. */
export function withoutAmounts(error: AppError): AppError {
  const { extra: _amounts, ...params } = error.params
  return new AppError(error.code, { ...params, detail: sentenceOf(error) }, { cause: error.cause })
}

/** The JSON body of a failure. */
export function failureBody(
  error: AppError,
  { status, sentence, requestId }: { status: number; sentence: string; requestId: string }
): Static<typeof FlowiseError> {
  const { errors, extra } = error.params
  return {
    ...extra,
    statusCode: status,
    success: false,
    message: sentence,
    error: sentence,
    code: error.code,
    status,
    request_id: requestId,
    ...(errors ? { errors } : {})
  }
}

/** The error half of a response map on Flowise's path. */
export function flowiseErrors(...statuses: number[]) {
  return Object.fromEntries(statuses.map((status) => [status, Type.Unsafe({ $ref: 'FlowiseError#' })]))
}
