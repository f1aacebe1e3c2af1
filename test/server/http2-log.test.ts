import { once } from 'node:events'
import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { startSecure } from './secure.ts'

const { echo } = DEMO_IDS

t.test('the log tells an answered stream from one that was left', async (t) => {
  const lines: Record<string, unknown>[] = []
  const arrived = new Set<() => void>()
  const write = (line: string) => {
    lines.push(JSON.parse(line))
    for (const wake of arrived) wake()
  }
  const { standIn, user, connect } = await startSecure(t, {}, { logger: { level: 'info', stream: { write } } })
  const { ask } = await connect()
  /** The line of the request with this id. */
  async function lineOf(id: string): Promise<Record<string, unknown>> {
    for (;;) {
      const line = lines.find((found) => found.request_id === id && found.msg === 'request completed')
      if (line) return line
      await new Promise<void>((resolve) => void arrived.add(resolve))
    }
  }
  const answered: [id: string, status: number, path: string, options: Parameters<typeof ask>[1]][] = [
    ['get', 200, '/health', {}],
    ['head', 200, '/health', { method: 'HEAD' }],
    ['missing', 404, '/nowhere', { body: {} }],
    ['refused', 401, '/api/v1/chat/credits', {}],
    ['big', 413, '/chat/authenticate', { body: 'x'.repeat(2_000_000) }],
    [
      'preflight',
      204,
      '/api/v1/chat/credits',
      { method: 'OPTIONS', headers: { origin: 'https://x.example', 'access-control-request-method': 'GET' } }
    ],
    ['json', 200, '/chat/predict', { token: user.token, body: { chatflow_id: echo, question: 'hi' } }],
    ['stream', 200, '/chat/predict/stream', { token: user.token, body: { chatflow_id: echo, question: 'hi' } }]
  ]
  for (const [id, status, path, options] of answered) {
    await ask(path, { ...options, headers: { 'x-request-id': id, ...options?.headers } }).ended
    const line = await lineOf(id)
    t.equal(line.status, status, id)
    t.notOk('isAborted' in line, id)
  }
  standIn.always({ events: [['token', 'half']], end: 'open' })
  const body = { chatflow_id: echo, question: 'hi' }
  const left = ask('/chat/predict/stream', { token: user.token, body, headers: { 'x-request-id': 'left' } })
  await left.until(/half/)
  left.leave()
  t.match(await lineOf('left'), { status: 200, isAborted: true })
  const early = ask('/chat/predict', { token: user.token, body, headers: { 'x-request-id': 'early' } })
  await standIn.waitFor(() => standIn.predictions.length === 4)
  early.leave()
  await once(early.stream, 'close')
  t.match(await lineOf('early'), { status: 499, isAborted: true })
})
