import type { Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp } from '../helper.ts'
import type { Fault } from '../stand-in/flowise.ts'
import { eventsOf, open } from './tools.ts'

const { echo, report, research } = DEMO_IDS

/** A listening gateway with a user of many credits, who streams over sockets. */
export async function startStreams(t: Test, env: Record<string, string> = {}) {
  const gateway = await buildTestApp(t, { env: { DEFAULT_CREDITS: '1000', ...env } })
  const user = await gateway.createUser({ grants: [echo, report, research] })
  const url = await gateway.listen()
  const stream = (body: Record<string, unknown> = {}, path = '/api/v1/chat/predict/stream') =>
    open(`${url}${path}`, { token: user.token, body: { chatflow_id: echo, question: 'hi', ...body } })
  /** The whole reply to an answer of Flowise. */
  const played = async (fault: Fault, body: Record<string, unknown> = {}) => {
    gateway.standIn.next(fault)
    const wire = stream(body)
    const text = await wire.ended
    return { ...(await wire.head), text, events: eventsOf(text) }
  }
  const configure = (body: Record<string, unknown>, id: string = echo) =>
    gateway.request('PATCH', `/api/v1/admin/chatflows/${id}`, { token: gateway.admin.token, body })
  return { ...gateway, user, url, stream, played, configure }
}
