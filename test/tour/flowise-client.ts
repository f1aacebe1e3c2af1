import type { Walker } from './walker.ts'

/** What a client made for Flowise asks before and beside its predictions. */
export async function lookUp({ visit }: Walker, { token, chatflowId }: { token: string; chatflowId: string }) {
  await visit('is it there?', 'GET', '/api/v1/ping')
  await visit('which one?', 'GET', '/api/v1/version', { token })
  await visit('does it stream?', 'GET', `/api/v1/chatflows-streaming/${chatflowId}`)
  await visit('how does it look?', 'GET', `/api/v1/public-chatbotConfig/${chatflowId}`, { token })
  await visit('what files does it take?', 'GET', `/api/v1/chatflows-uploads/${chatflowId}`, { token })
  await visit('a picture of a node', 'GET', '/api/v1/node-icon/chatOpenAI', { token })
  await visit('no picture', 'GET', '/api/v1/node-icon/nothing', { token, status: 404, code: 'not_found' })
  await visit('nothing else', 'GET', `/api/v1/chatmessage/${chatflowId}`, { token, status: 404, code: 'not_found' })
}
