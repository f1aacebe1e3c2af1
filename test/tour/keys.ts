import type { Test } from 'tap'
import type { Administrator } from './administrator.ts'
import type { Walker } from './walker.ts'

const keys = '/api/v1/auth/api-keys'

/** What the owner of a shop does, whose server asks for its visitors. */
export async function openShop(
  t: Test,
  { visit }: Walker,
  { token, chatflowId }: { token: string; chatflowId: string }
): Promise<void> {
  const body = { name: 'shop', scopes: ['chat'], chatflow_ids: [chatflowId], credit_budget: 5 }
  const made = await visit('a key for the shop', 'POST', keys, { token, body, status: 201 })
  const id = String(made.json.id)
  const key = String(made.json.api_key)
  await visit('my keys', 'GET', keys, { token })
  await visit('one of them', 'GET', `${keys}/${id}`, { token })
  await visit('more to spend', 'PATCH', `${keys}/${id}`, { token, body: { credit_budget: 10 } })
  await visit('the key asks', 'GET', '/api/v1/chatflows', { token: key })
  await visit('the key makes no keys', 'POST', keys, { token: key, body, status: 403, code: 'scope_required' })

  const page = { chatflow_id: chatflowId, origins: ['https://shop.example.com'] }
  const embed = await visit('a token for a page', 'POST', '/api/v1/auth/embed-tokens', {
    token: key,
    body: page,
    status: 201
  })
  const { pathname } = new URL(String(embed.json.api_host))
  const question = { question: 'Are you open?', chatId: 'visitor', streaming: true }
  const asked = await visit('a visitor asks', 'POST', `${pathname}/api/v1/prediction/${chatflowId}`, {
    body: question,
    headers: { origin: 'https://shop.example.com' }
  })
  t.equal(asked.events.at(-1)?.event, 'end')

  const next = await visit('another secret', 'POST', `${keys}/${id}/rotate`, { token, body: { overlap_hours: 0 } })
  await visit('the old one is gone', 'GET', '/api/v1/chatflows', { token: key, status: 401 })
  await visit('the new one works', 'GET', '/api/v1/chatflows', { token: String(next.json.api_key) })
  await visit('the shop closes', 'DELETE', `${keys}/${id}`, { token })
  await visit('one that is left', 'POST', keys, { token, body: { name: 'left' }, status: 201 })
}

/** What an administrator does with the keys of somebody else. */
export async function reviewKeys({ visit }: Walker, userId: string, { token }: Administrator): Promise<void> {
  const all = '/api/v1/admin/api-keys'
  const { json } = await visit('keys of a user', 'GET', `${all}?user_id=${userId}`, { token })
  const [left] = json.api_keys as { id: string; revoked_at: string | null }[]
  await visit('one is revoked', 'DELETE', `${all}/${left?.id}`, { token })
}
