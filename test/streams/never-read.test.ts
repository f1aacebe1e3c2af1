import { request as send } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { follow } from '../../src/streams/follow.ts'
import type { LiveStream } from '../../src/streams/live.ts'
import { createReplayBuffer } from '../../src/streams/replay-buffer.ts'
import { createRoom } from '../../src/streams/room.ts'
import { messageIdOf, startResumable } from './resume.ts'

t.setTimeout(300_000)

const TOKEN = ['token', 'x'.repeat(65_536)] as const

t.test('a follower that never reads does not hold up the shutdown', async (t) => {
  const { standIn, stream, url, user, app } = await startResumable(t)
  standIn.next({ events: Array.from({ length: 200 }, () => TOKEN), gates: { 1: 'middle' } })
  const first = stream()
  const messageId = messageIdOf(await first.until(/xxx/))
  const headers = { authorization: `Bearer ${user.token}` }
  const asked = send(`${url}/api/v1/chat/streams/${messageId}`, { headers })
  asked.on('response', (reply) => void reply.on('error', () => {}).pause())
  asked.on('error', () => {})
  asked.end()
  t.teardown(() => void asked.destroy())
  while (app.liveStreams.followers < 1) await pause(1)
  standIn.gate('middle').open()
  await first.ended
  t.equal(app.liveStreams.followers, 1)
  const limit = new AbortController()
  const closed = app.close().then(() => 'closed')
  const late = pause(30_000, 'late', { signal: limit.signal }).catch(() => 'late')
  t.equal(await Promise.race([closed, late]), 'closed')
  limit.abort()
})

t.test('a follower that never reads is let go when the stream is, and one that is too late at once', async (t) => {
  const frame = (id: number) => `id: ${id}\nevent: token\ndata: ${'x'.repeat(100)}\n\n`
  const told = { text: '', isTruncated: false }
  const tokenFrame = () => ''
  const start = () => {
    const buffer = createReplayBuffer({
      told,
      tokenFrame,
      room: createRoom(10_000, () => false),
      minBytes: 0,
      maxBytes: 1000
    })
    buffer.push(frame(1))
    const said: string[] = []
    const sink = {
      write: () => false,
      onReady() {},
      end: () => void said.push('end'),
      cut: () => void said.push('cut')
    }
    follow({ buffer } as LiveStream, { text: '', id: 0 }, sink)
    return { buffer, said }
  }
  const ended = start()
  ended.buffer.end()
  t.same(ended.said, [], 'it has time')
  ended.buffer.drop()
  t.same(ended.said, ['end'])

  const behind = start()
  for (let id = 2; id < 20; id++) behind.buffer.push(frame(id))
  t.same(behind.said, ['cut'])
})
