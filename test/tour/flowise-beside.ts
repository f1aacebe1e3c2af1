import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import type { Walker } from './walker.ts'

/** What a client made for Flowise does with an answer, and before it asks. */
export async function workBeside(
  t: Test,
  { visit }: Walker,
  { token, chatflowId }: { token: string; chatflowId: string }
): Promise<void> {
  const chatId = `tour-${randomUUID()}`
  const lead = { chatflowid: chatflowId, chatId, name: 'Ada', email: 'ada@example.com' }
  await visit('leave an address', 'POST', '/api/v1/leads', { token, body: lead })
  const question = { question: 'In your own words?', chatId }
  const answer = await visit('ask', 'POST', `/api/v1/prediction/${chatflowId}`, { token, body: question })
  const rating = { chatId, messageId: answer.json.chatMessageId, rating: 'THUMBS_DOWN' }
  const rated = await visit('not good', 'POST', `/api/v1/feedback/${chatflowId}`, { token, body: rating })
  const feedback = `/api/v1/feedback/${String(rated.json.id)}`
  await visit('and why', 'PUT', feedback, { token, body: { content: 'too short' } })

  const file = { chatflowId, chatId, fileName: 'none.png' }
  const form = new FormData()
  form.append('files', new Blob(['a note'], { type: 'text/plain' }), 'a.txt')
  const attach = `/api/v1/attachments/${chatflowId}/${chatId}`
  await visit('no documents here', 'POST', attach, { token, body: form, status: 403, code: 'uploads_forbidden' })
  const missing = { token, status: 404, code: 'file_not_found' }
  await visit('no such file', 'GET', `/api/v1/get-upload-file?${new URLSearchParams(file).toString()}`, missing)
  await visit('nor made by an assistant', 'POST', '/api/v1/openai-assistants-file/download', { ...missing, body: file })
  const upsert = { token, body: {}, status: 403, code: 'upserts_forbidden' }
  await visit('no vector store is open', 'POST', `/api/v1/vector/upsert/${chatflowId}`, upsert)

  const spoken = { chatflowId, chatId, chatMessageId: answer.json.chatMessageId }
  const read = { token, body: { ...spoken, text: 'Good morning.' } }
  const { events } = await visit('no voice', 'POST', '/api/v1/text-to-speech/generate', read)
  t.equal(events.at(-1)?.event, 'tts_error')
  await visit('quiet', 'POST', '/api/v1/text-to-speech/abort', { token, body: spoken })
}
