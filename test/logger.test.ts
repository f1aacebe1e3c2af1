import t from 'tap'
import { AppError } from '../src/errors.ts'
import { describeError, loggerOptions } from '../src/logger.ts'

t.test('a failed dependency is logged with its reasons, without stack and without keys', async (t) => {
  const provider = new Error('status 500: Incorrect API key provided: sk-proj-abcdef123456, Bearer abc.def')
  const logged = JSON.stringify(describeError(new AppError('upstream_error', {}, { cause: provider })))
  t.match(logged, /"code":"upstream_error"/)
  t.match(logged, /Incorrect API key provided/)
  t.notMatch(logged, /sk-proj|abc\.def|"stack"|logger\.test/)
})

t.test('keys and passwords of all sorts stay out of a logged reason', async (t) => {
  const texts = [
    'API key not valid: AIzaSyA-SECRET_0123456789',
    'AKIASECRET1234567890 is not authorized',
    'bad credentials ghp_SECRET0123456789, gsk_SECRET0123456789, hf_SECRET0123456789, xoxb-SECRET-0123456',
    'connect postgres://flowise:SECRET@10.0.0.1:5432/db failed',
    'mongodb+srv://user:SECRET@cluster0.example.net',
    '{"apiKey":"SECRET","x-api-key": "SECRET"}',
    'password=SECRET&api_key=SECRET',
    "token: 'SECRET'",
    'Authorization: Basic SECRET=='
  ]
  for (const text of texts) {
    const logged = JSON.stringify(describeError(new AppError('upstream_error', {}, { cause: new Error(text) })))
    t.notMatch(logged, /SECRET/, text)
    t.match(logged, /redacted/)
  }
  const plain =
    'status 500: Basic Authentication: the token limit of 4096 is exceeded at http://10.0.0.1/x: ask for less'
  t.match(describeError(new AppError('upstream_error', {}, { cause: new Error(plain) })), {
    reason: new RegExp(plain)
  })
})

t.test('a fault of the gateway keeps its stack', async (t) => {
  t.match(
    JSON.stringify(describeError(new AppError('internal_error', {}, { cause: new Error('boom') }))),
    /boom.*stack|stack.*boom/s
  )
})

t.test('a reason is cut, and what is no error is text', async (t) => {
  const long = describeError(new AppError('upstream_error', {}, { cause: new Error('x'.repeat(9000)) }))
  t.ok(JSON.stringify(long).length < 1000)
  t.strictSame(describeError('a string'), { reason: 'a string' })
})

t.test('members that may hold secrets are blanked', async (t) => {
  const { redact } = loggerOptions('info')
  for (const path of ['authorization', '*.password', '*["x-api-key"]']) t.ok(redact.paths.includes(path), path)
})
