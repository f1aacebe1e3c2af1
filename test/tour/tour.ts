import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { prepareGuest, sayGoodbye, walkAsAdministrator } from './administrator.ts'
import { walkAsUser } from './user.ts'
import { createWalker, type Walker } from './walker.ts'

export interface TourOptions {
  /** Base URL of a gateway that listens. */
  url: string
  /** Of an administrator. */
  username: string
  password: string
}

/** Walks the complete API over real sockets, as a user and as an administrator, and says what it has not seen. */
export async function takeTour(t: Test, { url, username, password }: TourOptions): Promise<void> {
  const walker = await createWalker(t, url)
  const { visit } = walker
  await walkAround(t, walker)
  const login = await visit('log in', 'POST', '/chat/authenticate', { body: { username, password } })
  const token = String(login.json.access_token)
  const all = JSON.parse((await visit('all chatflows', 'GET', '/api/v1/chatflows', { token })).text) as { id: string }[]
  const [chatflowId = '', otherChatflowId = ''] = all.map(({ id }) => id)
  t.ok(otherChatflowId, 'there are two chatflows to walk through')

  const administrator = { token, chatflowId }
  const name = `tour-${randomUUID().slice(0, 8)}`
  const guest = await prepareGuest(
    walker,
    { id: '', username: name, email: `${name}@example.com`, password: randomUUID() },
    administrator
  )
  await walkAsUser(t, walker, { ...guest, chatflowId, otherChatflowId })
  await walkAsAdministrator(t, walker, guest, administrator)
  await sayGoodbye(t, walker, guest, administrator)
  await visit('log out', 'POST', '/chat/revoke', { token, body: { all_tokens: false } })
  t.strictSame(walker.unvisited(), [], 'every operation of the document has been visited')
}

async function walkAround(t: Test, { visit }: Walker): Promise<void> {
  await visit('what runs here', 'GET', '/')
  await visit('alive', 'GET', '/health/')
  await visit('ready', 'GET', '/ready')
  await visit('how it is set up', 'GET', '/info')
  await visit('what it can do', 'GET', '/openapi.json')
  await visit('how much it did', 'GET', '/metrics')
  await visit('a page about it', 'GET', '/docs')
  await visit('nothing here', 'GET', '/api/chat/predict', { status: 404, code: 'not_found' })
  const { events } = await visit('do streams get through?', 'GET', '/api/v1/test-stream')
  t.equal(events.at(-1)?.event, 'end')
}
