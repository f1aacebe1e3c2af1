import t from 'tap'
import { createExchange, type Exchange, type Outcome } from '../../src/flowise/exchange.ts'
import { createRedaction } from '../../src/flowise/redaction.ts'
import { createTranscript } from '../../src/flowise/transcript.ts'

const COMPLETED: Outcome = { ending: 'completed', isClean: true }

function open() {
  return createExchange({
    runId: 'run',
    userId: 'user',
    sessionId: 'session',
    messageId: 'message',
    requestId: 'request',
    // Only its id is of interest to an exchange.
    chatflow: Object({ id: 'flow' }),
    kind: 'sse',
    startedAt: 0,
    transcript: createTranscript({ allowed: [] }),
    redaction: createRedaction({}, { isStranger: false, messageId: 'message' })
  })
}

/** How it ends, told to a reader. */
function endOf(exchange: Exchange): Promise<Outcome> {
  return new Promise((resolve) => exchange.whenEnded(resolve))
}

t.test('the first outcome stands and everybody is told once, closers after readers', async (t) => {
  const exchange = open()
  const told: string[] = []
  const slow = Promise.withResolvers<void>()
  exchange.beforeConcluded(async ({ ending }) => void told.push(`closer ${ending}`))
  exchange.whenEnded(async ({ ending }) => {
    await slow.promise
    told.push(`reader ${ending}`)
  })
  exchange.whenEnded(() => Promise.reject(new Error('a reader that fails')))
  t.equal(exchange.outcome, undefined)
  t.equal(exchange.end(COMPLETED), true)
  t.equal(exchange.end({ ending: 'stopped', isClean: false }), false)
  exchange.stop('abandoned')
  t.same(await endOf(exchange), COMPLETED)
  t.same(told, [])
  slow.resolve()
  await exchange.concluded
  t.same(told, ['reader completed', 'closer completed'])
})

t.test('who comes after the end is told at once', async (t) => {
  const exchange = open()
  exchange.end(COMPLETED)
  await exchange.concluded
  const told: string[] = []
  exchange.whenEnded(async ({ ending }) => void told.push(`reader ${ending}`))
  exchange.beforeConcluded(async ({ ending }) => void told.push(`closer ${ending}`))
  t.same(told, ['reader completed', 'closer completed'])
})

t.test('a stop before anybody runs it ends it as refused; then the listener decides', async (t) => {
  const early = open()
  early.stop('drained')
  t.match(await endOf(early), { ending: 'refused', code: 'draining' })
  const running = open()
  const reasons: string[] = []
  running.onStop((reason) => void reasons.push(reason))
  running.stop('abandoned')
  running.stop('stopped')
  t.equal(running.outcome, undefined)
  t.same(reasons, ['abandoned', 'stopped'])
})
