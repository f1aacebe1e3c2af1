import t from 'tap'
import { startStreams } from './streams.ts'
import { eventsOf, settled, stored, textOf } from './tools.ts'

t.test('a stream that is cut at any of its bytes', async (t) => {
  const gateway = await startStreams(t, { MAX_CONCURRENT_PER_USER: '1000', RATE_LIMIT_PER_MINUTE: '0' })
  const { played, user, standIn } = gateway
  const events = [
    ['start', ''],
    ['token', 'Hé '],
    ['token', '🙂'],
    ['metadata', { chatMessageId: 'stored-1' }]
  ] as const
  const whole = events
    .concat([['end', '[DONE]'] as never])
    .map(([event, data]) => `message:\ndata:${JSON.stringify({ event, data })}\n\n`)
  const bytes = Buffer.byteLength(whole.join(''))
  let charged = 0
  const codes = new Set<string>()
  for (let cutAtByte = 1; cutAtByte <= bytes; cutAtByte++) {
    const sessionId = `cut-${cutAtByte}`
    const { status, text } = await played({ events, cutAtByte }, { sessionId })
    const told = status === 200 ? eventsOf(text) : []
    const received = textOf(status === 200 ? text : '')
    if (status === 200) {
      const names = told.map(({ event }) => event)
      const isWhole = names.at(-2) === 'metadata'
      t.equal(names.filter((name) => name === 'end').length, 1, `one end at ${cutAtByte}`)
      t.equal(names.at(-1), 'end')
      t.match(names.at(-2), /^(metadata|error)$/)
      codes.add(/"code":"(\w+)"/.exec(text)?.[1] ?? 'none')
      t.ok('Hé 🙂'.startsWith(received))
      t.ok(!isWhole || received === 'Hé 🙂')
    } else codes.add(JSON.parse(text).code)
    const [question, answer] = await stored(gateway).messages(sessionId)
    t.equal(answer?.content ?? '', received, `history is what was received at ${cutAtByte}`)
    t.equal(question?.status, received === '' ? 'failed' : 'complete')
    if (received !== '') charged++
  }
  t.same(codes, new Set(['upstream_unavailable', 'upstream_incomplete', 'none']))
  t.equal(standIn.predictions.length, bytes, 'never a second prediction')
  t.same(
    await stored(gateway).charges(user.id),
    Array.from({ length: charged }, () => 1_000_000)
  )
  const entries = await stored(gateway).entries(user.id)
  t.equal(entries.filter(({ kind }) => kind === 'release').length, bytes - charged, 'each settled exactly once')
  await settled(t, gateway, user.id)
})
