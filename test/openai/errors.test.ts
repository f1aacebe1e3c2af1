import t from 'tap'
import { AppError, catalogue, type ErrorCode, invalid } from '../../src/errors.ts'
import { isRepeatHarmful, openAiError } from '../../src/openai/errors.ts'

t.test('each code has the type that clients know', async (t) => {
  const types: Partial<Record<ErrorCode, string>> = {
    malformed_json: 'invalid_request_error',
    validation_error: 'invalid_request_error',
    not_found: 'invalid_request_error',
    session_busy: 'invalid_request_error',
    body_too_large: 'invalid_request_error',
    unsupported_media_type: 'invalid_request_error',
    invalid_token: 'authentication_error',
    chatflow_forbidden: 'permission_error',
    insufficient_credits: 'insufficient_quota',
    credits_exhausted: 'insufficient_quota',
    rate_limited: 'rate_limit_error',
    internal_error: 'server_error',
    upstream_error: 'server_error',
    draining: 'server_error'
  }
  for (const [code, type] of Object.entries(types))
    t.match(openAiError(new AppError(code as ErrorCode), 'text'), { error: { message: 'text', type, code } }, code)
})

t.test('what is wrong is named as OpenAI names it', async (t) => {
  const paramOf = (error: AppError) => openAiError(error, '').error.param
  t.equal(paramOf(invalid(['body', 'messages', '0', 'content', '12', 'type'], 'x')), 'messages[0].content[12].type')
  t.equal(paramOf(invalid(['body', 'n'], 'x')), 'n')
  t.equal(paramOf(invalid(['body'], 'x')), null)
  t.equal(paramOf(new AppError('chatflow_not_found')), 'model')
  t.equal(paramOf(new AppError('chatflow_forbidden')), 'model')
  t.equal(paramOf(new AppError('internal_error')), null)
})

t.test('amounts of a refusal go along', async (t) => {
  const extra = { needed: 2, available: 1 }
  t.match(openAiError(new AppError('insufficient_credits', { extra }), ''), { error: extra })
})

t.test('a repeat is harmful where something may have been done', async (t) => {
  const fresh = { isSent: false, isReplay: false }
  const sent = { isSent: true, isReplay: false }
  const replay = { isSent: false, isReplay: true }
  const table: [ErrorCode, typeof fresh, boolean][] = [
    ['rate_limited', fresh, false],
    ['too_many_predictions', fresh, false],
    ['draining', fresh, false],
    ['overloaded', fresh, false],
    ['store_unavailable', fresh, false],
    ['accounting_unavailable', fresh, false],
    ['request_in_progress', fresh, false],
    ['upstream_unavailable', sent, false],
    ['upstream_unavailable', replay, true],
    ['session_busy', fresh, true],
    ['internal_error', fresh, true],
    ['draining', sent, true],
    ['deadline_exceeded', sent, true],
    ['upstream_timeout', sent, true],
    ['upstream_error', sent, true],
    ['upstream_incomplete', sent, true],
    ['upstream_incomplete', replay, true],
    ['upstream_too_large', sent, true]
  ]
  for (const [code, state, isHarmful] of table)
    t.equal(isRepeatHarmful(new AppError(code), state), isHarmful, `${code} ${JSON.stringify(state)}`)
})

t.test('what clients do not repeat anyway needs no word', async (t) => {
  const kinds = ['malformed', 'unauthenticated', 'payment', 'forbidden', 'missing', 'too_large', 'invalid']
  const codes = (Object.keys(catalogue) as ErrorCode[]).filter((code) => kinds.includes(catalogue[code][0]))
  t.ok(codes.length > 20)
  for (const code of codes) t.notOk(isRepeatHarmful(new AppError(code), { isSent: true, isReplay: true }), code)
})
