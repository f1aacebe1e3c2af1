import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { openSurface } from './open.ts'

const { echo, report } = DEMO_IDS
const CONFIG = /^GET .*\/public-chatbotConfig\//
const EBML = Buffer.from('1a45dfa39f4286810142f7810142f2810442f381084282847765626d42878104428581021853806701', 'hex')
const VOICE = { type: 'audio', name: 'audio_1.webm', mime: 'audio/webm', data: dataUrl('audio/webm', EBML) }
const TEXT = { type: 'file:full', name: 'a.pdf', mime: 'application/pdf', data: 'the text of it' }
const INDEXED = { type: 'file:rag', name: 'a.md', mime: 'text/markdown', data: dataUrl('text/markdown', '# A') }

function dataUrl(mime: string, bytes: string | Buffer): string {
  return `data:${mime};base64,${Buffer.from(bytes).toString('base64')}`
}

async function start(t: Parameters<typeof openSurface>[0], config: object) {
  const surface = await openSurface(t, { MAX_FILE_MB: '1' })
  const { request, standIn, json, user, app } = surface
  standIn.always(json(config), CONFIG)
  const send = (uploads: object[], body: object = { question: 'hi' }) =>
    request('POST', `/api/v1/prediction/${echo}`, { token: user.token, body: { ...body, uploads } })
  const rows = async () => ({
    files: await app.store.collection('files').count({}),
    sessions: await app.store.collection('sessions').count({}),
    credits: (await request('GET', '/api/v1/chat/credits', { token: user.token })).json().credits_remaining
  })
  return { ...surface, send, rows }
}

const OPEN = {
  fullFileUpload: { status: true },
  uploads: { isSpeechToTextEnabled: true, isRAGFileUploadAllowed: true }
}

t.test('texts, voices and indexed documents go through, and nothing of them is kept', async (t) => {
  const { send, lastAsked, rows, request, user, standIn } = await start(t, OPEN)
  const reply = await send([TEXT, VOICE, INDEXED, { ...TEXT, data: 'half \ud83d of\u0000 it', mime: 'no type' }])
  t.equal(reply.statusCode, 200, reply.body)
  t.same(lastAsked().uploads, [TEXT, VOICE, INDEXED, { ...TEXT, data: 'half \ufffd of it', mime: 'text/plain' }])
  t.match(await rows(), { files: 0, sessions: 1, credits: 999 })

  standIn.next({ answer: { text: 'heard' } })
  const spoken = await send([VOICE], { question: '', chatId: 'spoken' })
  t.equal(spoken.statusCode, 200, spoken.body)
  const history = await request('GET', '/api/v1/chat/sessions/spoken/history', { token: user.token })
  t.match(history.json().messages, [{ content: '(voice message)' }, {}])
  t.equal((await send([TEXT], { question: '' })).statusCode, 422, 'a text is no question')
})

t.test('what is refused costs nothing and leaves nothing', async (t) => {
  const { send, rows, standIn } = await start(t, OPEN)
  const before = await rows()
  const cases = [
    [{ ...TEXT, data: 'x'.repeat(1_048_577) }, 413],
    [{ ...VOICE, data: dataUrl('audio/webm', 'not a voice') }, 415],
    [{ ...VOICE, data: dataUrl('audio/flac', EBML), mime: 'audio/flac' }, 415],
    [{ ...INDEXED, data: dataUrl('application/pdf', '# A') }, 415],
    [{ ...VOICE, data: 'no base64!' }, 422],
    [{ type: 'url', name: 'http://10.0.0.1', data: 'http://10.0.0.1' }, 422],
    [{ type: 'stored-file', name: 'a', data: 'a' }, 422],
    [{ ...TEXT, data: null }, 422]
  ] as const
  for (const [upload, status] of cases)
    t.equal((await send([upload])).statusCode, status, JSON.stringify(upload).slice(0, 99))
  t.same(await rows(), before)
  t.equal(standIn.predictions.length, 0)
})

t.test('a chatflow that takes none of them', async (t) => {
  const { send, rows, request, user, standIn } = await start(t, { fullFileUpload: { status: false }, uploads: {} })
  const before = await rows()
  for (const upload of [TEXT, VOICE, INDEXED]) {
    const reply = await send([upload])
    t.equal(reply.statusCode, 403)
    t.equal(reply.json().code, 'uploads_forbidden')
  }
  const body = { question: 'hi', chatflow_id: report, uploads: [TEXT] }
  t.equal((await request('POST', '/api/v1/chat/predict', { token: user.token, body })).statusCode, 422)
  t.same(await rows(), before)
  t.equal(standIn.predictions.length, 0)
})
