import type { AppError, ErrorCode, ErrorKind } from '../errors.ts'

/** An error as clients made for OpenAI read it. */
export interface OpenAiErrorBody {
  error: { message: string; type: string; code: ErrorCode; param: string | null; [member: string]: unknown }
}

const TYPES: Partial<Record<ErrorKind, string>> = {
  unauthenticated: 'authentication_error',
  payment: 'insufficient_quota',
  forbidden: 'permission_error',
  limited: 'rate_limit_error',
  fault: 'server_error',
  upstream: 'server_error',
  unavailable: 'server_error'
}
/** The kinds that clients made for OpenAI repeat by themselves. */
const REPEATED: readonly ErrorKind[] = ['conflict', 'limited', 'fault', 'upstream', 'unavailable']
const ABOUT_MODEL: readonly ErrorCode[] = ['chatflow_not_found', 'chatflow_forbidden']

/** The body of an error; `message` is what any other path would say. */
export function openAiError({ code, kind, params }: AppError, message: string): OpenAiErrorBody {
  const [first] = params.errors ?? []
  const param = ABOUT_MODEL.includes(code) ? 'model' : paramOf(first?.loc)
  return { error: { message, type: TYPES[kind] ?? 'invalid_request_error', code, param, ...params.extra } }
}

/**
 * Whether a client must be told not to repeat the request by itself: what reached Flowise may have been done and charged,
 * and a conversation in which another answer is coming would get the question twice.
 */
export function isRepeatHarmful(
  { code, kind }: Pick<AppError, 'code' | 'kind'>,
  { isSent, isReplay }: { isSent: boolean; isReplay: boolean }
): boolean {
  if (!REPEATED.includes(kind)) return false
  // A key that is still busy gives the first answer later; Flowise that was not reached has done nothing.
  if (code === 'request_in_progress' || (code === 'upstream_unavailable' && !isReplay)) return false
  return isSent || isReplay || kind === 'conflict' || kind === 'fault'
}

/** `messages[0].role`, of where a complaint says it is. */
function paramOf(loc: readonly string[] | undefined): string | null {
  const [first, ...others] = loc?.slice(1) ?? []
  if (first === undefined) return null
  return others.reduce((path, part) => path + (/^\d+$/.test(part) ? `[${part}]` : `.${part}`), first)
}
