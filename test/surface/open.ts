import type { Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp, type Send } from '../helper.ts'
import type { SeenRequest } from '../stand-in/flowise.ts'

const { echo, report, research } = DEMO_IDS

/** A gateway with two users, and with the visitors of a page that belongs to the first. */
export async function openSurface(t: Test, env: Record<string, string> = {}) {
  const gateway = await buildTestApp(t, { env: { DEFAULT_CREDITS: '1000', ...env } })
  const { standIn } = gateway
  // The token of a page is a part of the path.
  const request: Send = (method, url, { token = '', ...options } = {}) =>
    token.startsWith('fge_')
      ? gateway.request(method, `/e/${token}${url}`, options)
      : gateway.request(method, url, { ...(token === '' ? {} : { token }), ...options })
  const user = await gateway.createUser({ grants: [echo, report, research] })
  const other = await gateway.createUser({ grants: [echo] })

  /** A token of the page for one visitor. */
  async function visitor(visitorId: string, chatflowId: string = echo): Promise<string> {
    const key = await made('/api/v1/auth/api-keys', user.token, { name: visitorId, scopes: ['chat'] })
    const body = { chatflow_id: chatflowId, visitor_id: visitorId }
    return (await made('/api/v1/auth/embed-tokens', key.api_key ?? '', body)).token ?? ''
  }

  async function made(url: string, token: string, body: unknown): Promise<Record<string, string>> {
    const reply = await request('POST', url, { token, body })
    if (reply.statusCode !== 201) throw new Error(`${url}: ${reply.statusCode} ${reply.body}`)
    return reply.json()
  }

  /** A question in a chat; answers the id of the answer. */
  async function ask(token: string, chatId: string, body: Record<string, unknown> = {}): Promise<string> {
    const url = `/api/v1/prediction/${echo}`
    const reply = await request('POST', url, { token, body: { question: 'hi', chatId, ...body } })
    if (reply.statusCode !== 200) throw new Error(`The question was refused: ${reply.statusCode} ${reply.body}`)
    return reply.json().chatMessageId
  }

  /** What Flowise was asked in the last prediction. */
  const lastAsked = () => Object(standIn.predictions.at(-1)?.body)
  const seen = (line: RegExp): SeenRequest[] =>
    standIn.requests.filter(({ method, url }) => line.test(`${method} ${url}`))
  const json = (body: unknown, status = 200) => ({
    status,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body)
  })

  return { ...gateway, request, user, other, visitor, ask, lastAsked, seen, json }
}
