import type { Test } from 'tap'
import type { TestApp } from '../helper.ts'
import { startStreams } from '../prediction/streams.ts'
import { type Event, eventsOf, open, type Wire } from '../prediction/tools.ts'

/** A listening gateway whose streams can be left and followed. */
export async function startResumable(t: Test, env: Record<string, string> = {}) {
  const gateway = await startStreams(t, { RATE_LIMIT_PER_MINUTE: '0', MAX_CONCURRENT_PER_USER: '50', ...env })
  const { url, user } = gateway
  return { ...gateway, resume: resumer(url, user.token) }
}

/** Follows the stream of a message, or with `session` that of a session. */
export function resumer(url: string, token: string) {
  return (messageId: string, { after, session }: { after?: string | undefined; session?: string } = {}): Wire =>
    open(`${url}/api/v1/chat/${session === undefined ? `streams/${messageId}` : `sessions/${session}/stream`}`, {
      method: 'GET',
      token,
      headers: after === undefined ? {} : { 'last-event-id': after }
    })
}

/** The events of which all has arrived. */
export function wholeEvents(text: string): Event[] {
  return eventsOf(text.slice(0, text.lastIndexOf('\n\n') + 2))
}

/** The id of the last event that has arrived. */
export function lastIdOf(text: string): string | undefined {
  return wholeEvents(text).findLast(({ id }) => id !== undefined)?.id
}

export function messageIdOf(text: string): string {
  const first = wholeEvents(text)[0]
  return String(first?.data.message_id)
}

/** The text that a client has that read these one after the other: a stream that begins anew replaces what it had. */
export function heard(...texts: string[]): string {
  let said = ''
  for (const { event, data } of texts.flatMap(wholeEvents)) {
    if (event === 'session_id') said = ''
    if (event === 'token') said += String(data.data)
  }
  return said
}

/** Waits until nothing runs in the gateway, whatever begins meanwhile. */
export async function untilIdle({ app }: Pick<TestApp, 'app'>): Promise<void> {
  while (app.exchanges.size > 0) await Promise.all([...app.exchanges.values()].map(({ concluded }) => concluded))
}
