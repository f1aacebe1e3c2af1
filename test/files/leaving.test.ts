import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { idle, settled } from '../prediction/tools.ts'
import { startStreams } from '../prediction/streams.ts'
import { keptFiles, NOTHING, textFile, upload } from './kept.ts'

const notes = { data: 'data:text/plain;base64,bm90ZXM=', name: 'notes.txt' }

t.test('a client that leaves while its answer comes has asked its question, files and all', async (t) => {
  const gateway = await startStreams(t, { RESUME_SECONDS: '0' })
  const { standIn, stream, user, request } = gateway
  standIn.next({ gates: { head: 'asked' } })
  const wire = stream({ sessionId: 's1', uploads: [notes] })
  await standIn.gate('asked').reached
  wire.leave()
  await idle(gateway)
  standIn.gate('asked').open()
  t.match(await keptFiles(gateway, user.id), { files: 1, bytes: 5, rows: [{ isUsed: true, state: 'kept' }] })
  const history = await request('GET', '/api/v1/chat/sessions/s1/history', { token: user.token })
  t.match(history.json().messages, [{ status: 'failed', files: [{ name: 'notes.txt' }] }])
  await settled(t, gateway, user.id)
})

t.test('a file that is deleted, and a user who is, while Flowise answers', async (t) => {
  const gateway = await startStreams(t)
  const { standIn, stream, user, request, admin } = gateway
  const { file_id: early } = (await upload(gateway, user.token, textFile(7))).json()
  standIn.next({ gates: { head: 'first' } })
  const first = stream({ sessionId: 's1', uploads: [notes], file_ids: [early] })
  await standIn.gate('first').reached
  t.equal(
    (await request('DELETE', '/api/v1/chat/sessions/s1', { token: user.token })).statusCode,
    409,
    'a session in use'
  )
  t.equal((await request('DELETE', `/api/v1/chat/files/${early}`, { token: user.token })).statusCode, 200)
  standIn.gate('first').open()
  t.match(await first.ended, 'event: metadata')
  const history = await request('GET', '/api/v1/chat/sessions/s1/history', { token: user.token })
  t.same(
    history.json().messages[0].files.map(({ name }: { name: string }) => name),
    ['notes.txt']
  )
  standIn.next({ gates: { head: 'second' } })
  const second = stream({ sessionId: 's2', uploads: [notes] })
  await standIn.gate('second').reached
  t.equal((await request('DELETE', `/api/v1/admin/users/${user.id}`, { token: admin.token })).statusCode, 200)
  standIn.gate('second').open()
  await second.ended
  await idle(gateway)
  t.match(await keptFiles(gateway, user.id), { ...NOTHING, usage: undefined })
})

t.test('many predictions at once fill the quota to the byte, and the rest are refused whole', async (t) => {
  const gateway = await startStreams(t, { USER_FILES_MB: '0.001' })
  const { user, request, app } = gateway
  const data = `data:text/plain;base64,${Buffer.alloc(100, 'x').toString('base64')}`
  const replies = await Promise.all(
    Array.from({ length: 12 }, () =>
      request('POST', '/api/v1/chat/predict', {
        token: user.token,
        body: { chatflow_id: DEMO_IDS.echo, question: 'hi', uploads: [{ data }, { data }] }
      })
    )
  )
  const statuses = replies.map(({ statusCode }) => statusCode).toSorted((a, b) => a - b)
  t.same(statuses, [...Array(5).fill(200), ...Array(7).fill(413)])
  t.match(await keptFiles(gateway, user.id), { bytes: 1000, files: 10 })
  t.equal((await app.blobs.list({ limit: 100 })).length, 10)
  await settled(t, gateway, user.id)
})
