import type { LightMyRequestResponse } from 'fastify'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import type { TestApp, TestUser } from '../helper.ts'

export const { echo, report } = DEMO_IDS
export const SHOP = 'https://shop.example.com'
export const EVIL = 'https://evil.example.com'

/** Status and code of a reply. */
export function outcome(reply: LightMyRequestResponse): [number, string | undefined] {
  return [reply.statusCode, reply.statusCode < 400 ? undefined : reply.json().code]
}

/** A key of the user; the test fails when it is refused. */
export async function makeKey({ request }: TestApp, { token }: TestUser, body: object = {}) {
  const reply = await request('POST', '/api/v1/auth/api-keys', { token, body: { name: 'test', ...body } })
  if (reply.statusCode !== 201) throw new Error(`The key was refused: ${reply.statusCode} ${reply.body}`)
  const { id, api_key: key }: { id: string; api_key: string } = reply.json()
  return { id, key }
}

/** An embed token made with a key or a login. */
export async function makeEmbedToken({ request }: TestApp, token: string, body: object = {}) {
  const reply = await request('POST', '/api/v1/auth/embed-tokens', { token, body: { chatflow_id: echo, ...body } })
  if (reply.statusCode !== 201) throw new Error(`The token was refused: ${reply.statusCode} ${reply.body}`)
  return reply.json<{ token: string; api_host: string; visitor_id: string; expires_at: string }>()
}

/** A question by the gateway's own path. */
export function ask({ request }: TestApp, token: string, more: object = {}): Promise<LightMyRequestResponse> {
  return request('POST', '/chat/predict', { token, body: { chatflow_id: echo, question: 'hello', ...more } })
}

/** The same by Flowise's path below an embed token. */
export function askEmbedded(
  { request }: TestApp,
  token: string,
  {
    headers = {},
    chatflowId = echo,
    ...more
  }: { headers?: Record<string, string>; chatflowId?: string; chatId?: string } = {}
): Promise<LightMyRequestResponse> {
  const body = { question: 'hello', ...more }
  return request('POST', `/e/${token}/api/v1/prediction/${chatflowId}`, { headers, body })
}
