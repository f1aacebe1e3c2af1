import type { Test } from 'tap'
import type { Walker } from './walker.ts'

/** What a client made for OpenAI does. */
export async function talkAsOpenAi(
  t: Test,
  { visit }: Walker,
  { token, chatflowId }: { token: string; chatflowId: string }
): Promise<void> {
  const completions = '/v1/chat/completions'
  await visit('which models?', 'GET', '/v1/models', { token })
  await visit('one of them', 'GET', `/v1/models/${chatflowId}`, { token })
  const messages = [{ role: 'user', content: 'What is a gateway?' }]
  await visit('ask', 'POST', completions, { token, body: { model: chatflowId, messages } })
  const { text } = await visit('ask for a stream', 'POST', completions, {
    token,
    body: { model: chatflowId, messages, stream: true }
  })
  t.match(text, /data: \[DONE\]\n\n$/)
  await visit('two answers at once', 'POST', completions, {
    token,
    body: { model: chatflowId, messages, n: 2 },
    status: 400
  })
}
