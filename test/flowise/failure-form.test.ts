import t from 'tap'
import { AppError, catalogue, type ErrorCode } from '../../src/errors.ts'
import { failureBody, failureFormOf, withoutAmounts } from '../../src/flowise/failure-form.ts'
import { sentenceFor, sentenceOf } from '../../src/flowise/sentences.ts'

const codes = Object.keys(catalogue) as ErrorCode[]

t.test('the form is what the client behind the request can show', async (t) => {
  const widget = 'text/event-stream'
  const table: [status: number, accept: string | undefined, body: unknown, form: string][] = [
    // The widget when it streams: what it shows, and what it would swallow.
    [401, widget, undefined, 'text'],
    [403, widget, { streaming: true }, 'text'],
    [429, widget, null, 'text'],
    [402, widget, { streaming: true }, 'stream'],
    [404, widget, { streaming: 'true' }, 'stream'],
    [400, widget, undefined, 'stream'],
    [413, widget, undefined, 'stream'],
    [503, widget, { streaming: true }, 'stream'],
    // The SDK, and the widget when it does not stream, take anything.
    [402, '*/*', { streaming: true }, 'stream'],
    [403, undefined, { streaming: true }, 'text'],
    [401, '*/*', undefined, 'json'],
    [402, '*/*', { streaming: false }, 'json'],
    [402, undefined, {}, 'json'],
    [500, '', undefined, 'json'],
    // A body that was read decides alone, and as Flowise reads it.
    [402, widget, {}, 'json'],
    [402, widget, { streaming: 1 }, 'json'],
    [402, widget, { streaming: 'True' }, 'json'],
    [422, widget, [], 'stream'],
    // By name only, and only if it is wanted.
    [402, 'text/*', undefined, 'json'],
    [402, 'text/event-stream;q=0', undefined, 'json'],
    [402, 'Text/Event-Stream; charset=utf-8', undefined, 'stream'],
    [402, 'application/problem+json', { streaming: true }, 'problem'],
    [401, 'application/json, application/problem+json', {}, 'problem'],
    [401, 'application/*', {}, 'json']
  ]
  for (const [status, accept, body, form] of table)
    t.equal(failureFormOf(status, { accept, body }), form, `${status} ${accept} ${JSON.stringify(body)}`)
})

t.test('every failure has a sentence that a visitor may read', async (t) => {
  for (const code of codes) {
    const sentence = sentenceFor(code)
    t.match(sentence, /^[A-Z][^\n]{5,120}\.$/, code)
    t.notMatch(sentence, /^Error:/, 'the widget cuts such beginnings off')
    t.notMatch(sentenceOf(new AppError(code, {}, { cause: new Error('sk-1') })), /sk-1/)
    const { kind } = new AppError(code)
    if (kind === 'upstream' || kind === 'unavailable' || kind === 'fault')
      t.notMatch(
        sentenceOf(new AppError(code, { detail: 'Flowise at 10.0.0.1' })),
        /Flowise|10\.0\.0\.1|gateway|store/i
      )
  }
})

t.test('what is lacking is told by its reason', async (t) => {
  const of = (extra: Record<string, string | number>) => sentenceOf(new AppError('insufficient_credits', { extra }))
  t.equal(of({ available: 0, reason: 'insufficient_credits' }), 'There are no credits left for this chat.')
  t.match(of({ available: 0.5, reason: 'insufficient_credits' }), /^There are not enough credits/)
  t.match(of({ available: 0, reason: 'held_by_inflight' }), /set aside/)
  t.match(of({ available: 3, reason: 'key_budget_exhausted' }), /used up/)
  t.equal(sentenceOf(new AppError('validation_error', { detail: 'question is required' })), 'question is required')
})

t.test('a body has the sentence twice, and for strangers no amounts', async (t) => {
  const error = new AppError('insufficient_credits', {
    detail: 'This prediction needs 1 credit; 0 are available.',
    retryAfterSeconds: 5,
    extra: { available: 0, needed: 1, message: 'never this' }
  })
  const sentence = sentenceOf(error)
  const said = failureBody(error, { status: 402, sentence, requestId: 'r' })
  t.match(said, { message: sentence, error: sentence, code: error.code, available: 0, needed: 1, success: false })
  const discreet = withoutAmounts(error)
  t.equal(discreet.message, sentence)
  t.equal(discreet.params.retryAfterSeconds, 5)
  t.notMatch(JSON.stringify(failureBody(discreet, { status: 402, sentence, requestId: 'r' })), /available|needed/)
})
