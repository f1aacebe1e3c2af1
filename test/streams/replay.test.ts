import t from 'tap'
import { storedStream } from '../../src/flowise/stored-stream.ts'
import type { MessageRow } from '../../src/store/collections.ts'
import { eventsOf, settled, stored, textOf } from '../prediction/tools.ts'
import { lastIdOf, messageIdOf, startResumable, wholeEvents } from './resume.ts'

t.setTimeout(300_000)

const ROW: MessageRow = {
  id: 'm',
  sessionId: 's',
  userId: 'u',
  chatflowId: 'f',
  role: 'assistant',
  content: 'text',
  status: 'complete',
  position: 1,
  createdAt: 0
}
const toldOf = (row: Partial<MessageRow>) =>
  storedStream({ message: { ...ROW, ...row }, requestId: 'r', receipt: { credits_charged: 1 }, statusOf: () => 502 })

t.test('a stored answer is told again, with how it ended', async (t) => {
  const CASES: [Partial<MessageRow>, string[], string | undefined][] = [
    [{}, ['session_id', 'token', 'metadata', 'end'], undefined],
    [{ content: '' }, ['session_id', 'metadata', 'end'], undefined],
    [{ status: 'incomplete' }, ['session_id', 'token', 'metadata', 'end'], undefined],
    [{ status: 'incomplete', code: 'upstream_timeout' }, ['session_id', 'token', 'error', 'end'], 'upstream_timeout'],
    [{ status: 'incomplete', code: 'of a later version' }, ['session_id', 'token', 'metadata', 'end'], undefined],
    [{ status: 'incomplete', part: 3 }, ['session_id', 'token', 'error', 'end'], 'upstream_incomplete']
  ]
  for (const [row, names, code] of CASES) {
    const { text, lastId } = toldOf(row)
    const events = eventsOf(text)
    t.same(
      events.map(({ event }) => event),
      names
    )
    t.equal(events.at(-1)?.id, String(lastId))
    t.equal(events.at(-2)?.data.code, code)
    t.match(JSON.stringify(events.at(-2)), '"credits_charged":1')
  }
})

t.test('when the frames are gone the history is replayed, once', async (t) => {
  const gateway = await startResumable(t, { RESUME_BUFFER_MB: '1' })
  const { standIn, stream, resume, user, app } = gateway
  const whole = await stream({ question: 'first' }).ended
  const messageId = messageIdOf(whole)
  t.equal(await resume(messageId).ended, whole)
  // Others need the room.
  const text = 'x'.repeat(10_000)
  for (let n = 0; n < 8; n++) {
    standIn.next({ events: Array.from({ length: 30 }, () => ['token', text] as const) })
    await stream().ended
    t.ok(app.liveStreams.keptBytes <= 1_048_576)
  }
  for (const after of [undefined, '3', lastIdOf(whole), '99']) {
    const replay = await resume(messageId, { after }).ended
    t.same(
      wholeEvents(replay).map(({ event }) => event),
      ['session_id', 'token', 'metadata', 'end']
    )
    t.equal(wholeEvents(replay)[0]?.id, '1', 'forget what you have')
    t.equal(textOf(replay), textOf(whole))
    t.equal((await resume(messageId, { after: lastIdOf(replay) }).head).status, 204)
  }
  await settled(t, gateway, user.id)
})

t.test('an answer that failed is told with its error, also later', async (t) => {
  const gateway = await startResumable(t)
  const { standIn, stream, resume, user, configure } = gateway
  for (const on_disconnect of [null, { continue_seconds: 0 }]) {
    await configure({ on_disconnect })
    standIn.next({ events: [['token', 'half']], end: 'close' })
    const first = await stream().ended
    const again = await resume(messageIdOf(first)).ended
    t.equal(textOf(again), 'half')
    const told = (text: string) => wholeEvents(text).find(({ event }) => event === 'error')?.data
    t.match(told(again), { code: 'upstream_incomplete', status: 502, credits_charged: told(first)?.credits_charged })
  }
  t.equal((await stored(gateway).charges(user.id)).length, 2)
  await settled(t, gateway, user.id)
})

for (const continue_seconds of [0, 30])
  t.test(`an answer that was deleted is gone, with ${continue_seconds} seconds to come back`, async (t) => {
    const { stream, resume, request, user, configure } = await startResumable(t)
    await configure({ on_disconnect: { continue_seconds } })
    const messageId = messageIdOf(await stream({ sessionId: 's' }).ended)
    t.equal((await resume(messageId).head).status, 200)
    await request('DELETE', '/api/v1/chat/sessions/s', { token: user.token })
    t.equal((await resume(messageId).head).status, 404)
  })
