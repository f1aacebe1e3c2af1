import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { talkAsOpenAi } from './openai.ts'
import { workBeside } from './flowise-beside.ts'
import { lookUp } from './flowise-client.ts'
import { openShop } from './keys.ts'
import { comeBack } from './streams.ts'
import type { Walker } from './walker.ts'

export interface Traveller {
  username: string
  password: string
  /** One that is granted, and one that is not. */
  chatflowId: string
  otherChatflowId: string
}

const login = '/api/v1/chat/authenticate'
const predict = '/api/v1/chat/predict'

/** What a user does, from the login to the logout. */
export async function walkAsUser(t: Test, walker: Walker, traveller: Traveller): Promise<void> {
  const { visit } = walker
  const { username, password, chatflowId, otherChatflowId } = traveller
  await visit('no token', 'GET', '/api/v1/chatflows', { status: 401, code: 'not_authenticated' })
  const wrong = { username, password: 'not the password' }
  await visit('a wrong password', 'POST', login, { body: wrong, status: 401, code: 'invalid_credentials' })
  const first = await visit('log in', 'POST', login, { body: { username, password } })
  const { json } = await visit('new tokens', 'POST', '/api/v1/chat/refresh', {
    body: { refresh_token: first.json.refresh_token }
  })
  const token = String(json.access_token)
  await visit('no administrator', 'GET', '/api/v1/admin/users', { token, status: 403, code: 'role_required' })

  await visit('my chatflows', 'GET', '/chatflows/', { token })
  await visit('one of them', 'GET', `/api/v1/chatflows/${chatflowId}`, { token })
  await visit('its chat window', 'GET', `/api/v1/chatflows/${chatflowId}/config`, { token })
  await visit('somebody else may', 'GET', `/api/v1/chatflows/${otherChatflowId}`, {
    token,
    status: 403,
    code: 'chatflow_forbidden'
  })
  await visit('does it stream?', 'GET', `/api/v1/chatflows-streaming/${chatflowId}`)
  await talk(t, walker, { token, chatflowId })
  await lookUp(walker, { token, chatflowId })
  await workBeside(t, walker, { token, chatflowId })
  await talkAsOpenAi(t, walker, { token, chatflowId })
  await walkThroughFiles(walker, { token, chatflowId })
  await comeBack(t, walker, { token, chatflowId })
  await openShop(t, walker, { token, chatflowId })
  await visit('my credits', 'GET', '/api/v1/chat/credits', { token })
  await visit('what they went for', 'GET', '/api/v1/chat/credits/transactions?limit=5', { token })
  await visit('all my history goes', 'DELETE', '/api/v1/chat/history', { token })
  await visit('log out', 'POST', '/api/v1/chat/revoke', { token })
  await visit('the token is of no use', 'GET', '/api/v1/chat/credits', { token, status: 401, code: 'token_revoked' })
}

interface Ticket {
  token: string
  chatflowId: string
}

async function talk(t: Test, { visit }: Walker, { token, chatflowId }: Ticket): Promise<void> {
  const sessionId = `tour-${randomUUID()}`
  const ask = (question: string) => ({ token, body: { chatflow_id: chatflowId, question, sessionId } })
  const keyed = { ...ask('What is a gateway?'), headers: { 'idempotency-key': sessionId } }
  const answer = await visit('ask', 'POST', predict, keyed)
  const again = await visit('the same key: the same answer', 'POST', '/chat/predict/', keyed)
  t.strictSame(again.json, answer.json)
  t.equal(again.headers.get('idempotency-replayed'), 'true')

  const { events } = await visit('ask for a stream', 'POST', `${predict}/stream`, ask('And a proxy?'))
  t.equal(events[0]?.event, 'session_id')
  t.strictSame(
    events.slice(-2).map(({ event }) => event),
    ['metadata', 'end']
  )
  t.strictSame(
    events.map(({ id }) => Number(id)),
    events.map((_, index) => index + 1)
  )

  const flowise = `/api/v1/prediction/${chatflowId}`
  const body = { question: 'In your own words?', chatId: sessionId }
  await visit("on Flowise's own path", 'POST', flowise, { token, body })
  const own = await visit('as a stream of its own', 'POST', flowise, { token, body: { ...body, streaming: true } })
  t.equal(own.events.at(-1)?.event, 'end')

  await visit('nothing to stop', 'POST', `/api/v1/chat/sessions/${sessionId}/stop`, { token })
  await visit("nor on Flowise's path", 'PUT', `/api/v1/chatmessage/abort/${chatflowId}/${sessionId}`, { token })
  await visit('my sessions', 'GET', '/api/v1/chat/sessions?limit=1', { token })
  const history = await visit('what was said', 'GET', `/api/v1/chat/sessions/${sessionId}/history`, { token })
  t.equal(history.json.count, 8, 'four questions, four answers')
  await visit('forget it', 'DELETE', `/api/v1/chat/sessions/${sessionId}`, { token })
  await visit('it is forgotten', 'GET', `/chat/sessions/${sessionId}/history`, {
    token,
    status: 404,
    code: 'session_not_found'
  })
}

async function walkThroughFiles({ visit, has }: Walker, { token, chatflowId }: Ticket): Promise<void> {
  const files = '/api/v1/chat/files'
  if (!has('POST', files)) return
  const form = (name: string, bytes: Uint8Array<ArrayBuffer> | string, type: string) => {
    const data = new FormData()
    data.append('file', new Blob([bytes], { type }), name)
    return data
  }
  const note = await visit('upload', 'POST', files, { token, body: form('a.txt', 'a note', 'text/plain'), status: 201 })
  const pixel = Buffer.from(PIXEL, 'base64')
  const image = form('a.png', Uint8Array.from(pixel), 'image/png')
  const shown = await visit('upload an image', 'POST', '/api/v1/chat/upload', { token, body: image, status: 201 })
  const sessionId = `tour-${randomUUID()}`
  const body = { chatflow_id: chatflowId, question: 'What is in it?', sessionId, file_ids: [note.json.file_id] }
  await visit('ask about the file', 'POST', predict, { token, body })
  await visit('read it', 'GET', `${files}/${String(note.json.file_id)}?download=true`, { token })
  await visit('see it small', 'GET', `${files}/${String(shown.json.file_id)}/thumbnail?size=32`, { token })
  await visit('files of a session', 'GET', `${files}/session/${sessionId}`, { token })
  await visit('delete it', 'DELETE', `${files}/${String(shown.json.file_id)}`, { token })
}

/** A PNG of one pixel. */
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
