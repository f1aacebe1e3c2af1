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
