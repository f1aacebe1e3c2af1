import type { Test } from 'tap'
import { reviewKeys } from './keys.ts'
import type { Walker } from './walker.ts'

export interface Administrator {
  token: string
  chatflowId: string
}

/** The user that the tour makes, and takes away again. */
export interface Guest {
  id: string
  username: string
  email: string
  password: string
}

const users = '/api/v1/admin/users'
const chatflows = '/api/v1/admin/chatflows'

/** Makes a user who may ask a chatflow, and has the credits for it. */
export async function prepareGuest(walker: Walker, guest: Guest, { token, chatflowId }: Administrator): Promise<Guest> {
  const { visit } = walker
  const { username, email, password } = guest
  const made = await visit('make a user', 'POST', users, { token, body: { username, email, password }, status: 201 })
  const id = String(made.json.id)
  await visit('a name is taken once', 'POST', users, {
    token,
    body: { username, email, password },
    status: 409,
    code: 'already_exists'
  })
  await visit('find them', 'GET', `${users}?q=${username}`, { token })
  await visit('or by e-mail', 'POST', `${users}/sync-by-email`, { token, body: { email } })
  await visit('look at them', 'GET', `${users}/${id}`, { token })
  await visit('change them', 'PATCH', `${users}/${id}`, { token, body: { role: 'premium' } })
  await visit('let them ask', 'POST', `${chatflows}/${chatflowId}/users`, { token, body: { email } })
  const key = (name: string) => ({ 'idempotency-key': `${username}-${name}` })
  const credits = `${users}/${id}/credits`
  const gift = { amount: 50, note: 'welcome' }
  await visit('give credits', 'POST', `${credits}/allocate`, { token, body: gift, headers: key('gift') })
  const less = { amount: -5, note: 'too much' }
  await visit('take some back', 'POST', `${credits}/adjust`, { token, body: less, headers: key('less') })
  const exact = { amount: 40, note: 'exactly' }
  await visit('make it an amount', 'POST', `${credits}/set`, { token, body: exact, headers: key('set') })
  const tooMuch = { amount: -1000, note: 'all of it' }
  await visit('no more than there is', 'POST', `${credits}/adjust`, {
    token,
    body: tooMuch,
    headers: key('all'),
    status: 409,
    code: 'balance_would_be_negative'
  })
  return { ...guest, id }
}

/** What an administrator does with the catalogue, the grants and the books; the guest has been here already. */
export async function walkAsAdministrator(
  t: Test,
  walker: Walker,
  { id, username, email }: Guest,
  { token, chatflowId }: Administrator
): Promise<void> {
  const { visit } = walker
  const one = `${chatflows}/${chatflowId}`
  await visit('read the chatflows of Flowise', 'POST', `${chatflows}/sync`, { token })
  await visit('how many there are', 'GET', `${chatflows}/stats`, { token })
  await visit('all of them', 'GET', `${chatflows}?include_deleted=true`, { token })
  const { json } = await visit('one of them', 'GET', one, { token })
  // As it is, so that the tour changes nothing for others.
  await visit('set what it is set to', 'PATCH', one, { token, body: { override_allow: json.override_allow } })

  await visit('who may ask it', 'GET', `${one}/users`, { token })
  await visit('what they think of it', 'GET', `${one}/feedback`, { token })
  await visit('who left an address', 'GET', `${one}/leads?limit=1`, { token })
  const names = { usernames: [username], user_ids: ['nobody'] }
  const bulk = await visit('many at once', 'POST', `${one}/users/bulk-add`, { token, body: names })
  t.match(bulk.json, { successful_assignments: [{ status: 'No Action' }], failed_assignments: [{ user_id: 'nobody' }] })
  await visit('grants that lead nowhere', 'GET', `${chatflows}/audit-users?chatflow_id=${chatflowId}`, { token })
  const dry = { action: 'deactivate_invalid', dry_run: true }
  await visit('what a clean-up would do', 'POST', `${chatflows}/cleanup-users`, { token, body: dry })
  await visit('nobody asks any more', 'DELETE', `${one}/users?email=${encodeURIComponent(email)}`, { token })
  await visit('nor again', 'DELETE', `${one}/users/${username}`, { token, status: 404, code: 'assignment_not_found' })

  const credits = `${users}/${id}/credits`
  await visit('what is left', 'GET', credits, { token })
  await visit('where it went', 'GET', `${credits}/transactions`, { token })
  await visit('freeze the account', 'PUT', `${credits}/frozen`, { token, body: { frozen: true } })
  await visit('and thaw it', 'PUT', `${credits}/frozen`, { token, body: { frozen: false } })
  const used = await visit('what they used', 'GET', `/api/v1/admin/usage?group_by=user&user_id=${id}`, { token })
  t.match(used.json, { rows: [{ user_id: id }] })
  await reviewKeys(walker, id, { token, chatflowId })
}

/** The guest goes, and what is known of the visit stays. */
export async function sayGoodbye(t: Test, { visit }: Walker, { id }: Guest, { token }: Administrator): Promise<void> {
  await visit('delete the user', 'DELETE', `${users}/${id}`, { token })
  await visit('they are gone', 'GET', `${users}/${id}`, { token, status: 404, code: 'user_not_found' })
  const audit = await visit('who did all this', 'GET', `/api/v1/admin/audit?target=${id}`, { token })
  t.equal(audit.json.count, 8, 'every change has one entry')
  const table = await visit('as a table', 'GET', '/admin/audit', { token, headers: { accept: 'text/csv' } })
  t.match(table.text, /^id,created_at,actor_id,action/)
}
