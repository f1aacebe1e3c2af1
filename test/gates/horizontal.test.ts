import { createHash, randomUUID } from 'node:crypto'
import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { collections } from '../../src/store/collections.ts'
import { buildTestApp, type TestUser } from '../helper.ts'
import { type Kind, type Slot, slotsOf } from './identifiers.ts'

const { echo, report } = DEMO_IDS
const gateway = await buildTestApp(t, { env: { RATE_LIMIT_PER_MINUTE: '0', LOGIN_FAILURE_LIMIT: '0' } })
const { app, request, admin } = gateway
const owner = await gateway.createUser({ credits: 1000, grants: [echo, report] })
const other = await gateway.createUser({ credits: 1000, grants: [echo] })
await request('POST', `/admin/users/${admin.id}/credits/allocate`, {
  token: admin.token,
  body: { amount: 1000, idempotency_key: 'start' }
})
const slots = slotsOf((await request('GET', '/openapi.json')).json())
const administration = slots.filter(({ path }) => path.startsWith('/api/v1/admin/'))
const owned = slots.filter(
  ({ kind }) => kind && ['session', 'token', 'file', 'key', 'receipt', 'message'].includes(kind)
)
/** An image of one pixel, which every route of files takes. */
const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64'
)

async function answer(): Promise<string> {
  const body = { chatflow_id: echo, question: 'mine' }
  return expect(request('POST', '/chat/predict', { token: owner.token, body }), 'message_id')
}

/** A new thing of the owner, and the id of it. */
const make: Partial<Record<Kind, () => Promise<string>>> = {
  async session() {
    const body = { chatflow_id: echo, question: 'mine', sessionId: `of-owner-${randomUUID()}` }
    return expect(request('POST', '/chat/predict', { token: owner.token, body }), 'session_id')
  },
  receipt: answer,
  message: answer,
  async file() {
    return expect(upload(owner, {}), 'file_id')
  },
  async key() {
    return expect(request('POST', '/api/v1/auth/api-keys', { token: owner.token, body: { name: 'mine' } }), 'id')
  },
  token: async () => (await gateway.login(owner.username, owner.password)).refresh_token,
  chatflow: async () => report
}

async function expect(reply: Promise<LightMyRequestResponse>, member: string): Promise<string> {
  const { statusCode, body } = await reply
  if (statusCode >= 300) throw new Error(`The owner was refused: ${statusCode} ${body}`)
  return JSON.parse(body)[member]
}

function upload({ token }: TestUser, fields: Record<string, string>): Promise<LightMyRequestResponse> {
  const parts = Object.entries(fields).map(
    ([name, value]) => `content-disposition: form-data; name="${name}"\r\n\r\n${value}`
  )
  parts.push('content-disposition: form-data; name="file"; filename="a.png"\r\ncontent-type: image/png\r\n\r\n')
  const head = parts.map((part) => `--edge\r\n${part}`).join('\r\n')
  const body = Buffer.concat([Buffer.from(head), PIXEL, Buffer.from('\r\n--edge--\r\n')])
  const headers = { 'content-type': 'multipart/form-data; boundary=edge' }
  return request('POST', '/api/v1/chat/files', { token, body, headers })
}

/** The request of this place with this id; everything else in it is right. */
async function send(slot: Slot, id: string, asker: TestUser): Promise<LightMyRequestResponse> {
  if (slot.isForm) return upload(asker, { [slot.name]: id })
  const mates = slots.filter((mate) => mate.operationId === slot.operationId && mate.name !== slot.name)
  let url = slot.path
  for (const { part, name, kind } of mates)
    if (part === 'path')
      url = url.replace(`{${name}}`, kind === 'chatflow' ? echo : ((await make[kind ?? 'open']?.()) ?? 'x'))
  url = url.replace(`{${slot.name}}`, encodeURIComponent(id))
  if (slot.part === 'query') url += `?${slot.name}=${encodeURIComponent(id)}`
  if (Object.keys(slot.example).length === 0) return request(slot.method, url, { token: asker.token })
  const inBody = new Set(mates.filter(({ part }) => part === 'body').map(({ name }) => name))
  const rest = Object.entries(slot.example).filter(([name]) => !inBody.has(name) || name === 'chatflow_id')
  const body = { ...Object.fromEntries(rest), ...('chatflow_id' in slot.example ? { chatflow_id: echo } : {}) }
  return request(slot.method, url, {
    token: asker.token,
    body: slot.part === 'body' ? withMember(body, slot.name, id) : body
  })
}

function withMember(body: Record<string, unknown>, name: string, id: string): Record<string, unknown> {
  const [outer = '', inner] = name.split('.')
  if (inner !== undefined) return { ...body, [outer]: { [inner]: id } }
  return { ...body, [name]: name.endsWith('s') ? [id] : id }
}

async function countRows(): Promise<Record<string, number>> {
  const counts = collections.map(async ({ name }) => [name, await app.store.collection(name).count({})] as const)
  return Object.fromEntries(await Promise.all(counts))
}

/** Status and code of a refusal, in whichever form it is written. */
function refused(reply: LightMyRequestResponse): { status: number; code: unknown } {
  const { code, error } = reply.json()
  return { status: reply.statusCode, code: code ?? error.code }
}

/** A refusal without what differs between any two requests. */
function refusal({ statusCode, body }: LightMyRequestResponse): string {
  return `${statusCode} ${body.replaceAll(/"(request_id|instance)":"[^"]*"/g, '')}`
}

/** Of a success only the status: its body may be bytes. */
const told = ({ statusCode, body }: LightMyRequestResponse) =>
  statusCode < 300 ? String(statusCode) : `${statusCode} ${body.slice(0, 200)}`
const nameOf = ({ method, path, part, name }: Slot) => `${method} ${path}, ${name} in the ${part}`
const isPrediction = ({ operationId }: Slot) => /^predictions\.(create|stream|flowise)$/.test(operationId)

t.test('of every identifier that a client may send it is known what it names', async (t) => {
  t.ok(slots.length > 35, `${slots.length} places`)
  t.ok(owned.length > 10, `${owned.length} of them name what somebody owns`)
  for (const slot of slots) t.ok(slot.kind, `${nameOf(slot)}: say what it is in test/gates/identifiers.ts`)
})

t.test("someone else's session, file or token is 404 on every route, for administrators as well", async (t) => {
  for (const slot of owned) {
    const id = (await make[slot.kind ?? 'open']?.()) ?? ''
    for (const asker of [other, admin]) {
      const before = await countRows()
      const reply = await send(slot, id, asker)
      t.match(reply.json(), { status: 404, code: `${slot.kind}_not_found` }, `${nameOf(slot)} by ${asker.username}`)
      t.strictSame(await countRows(), before, `${nameOf(slot)} changed nothing`)
      const unknown = await send(slot, randomUUID(), asker)
      // A session id that nobody has is a new session; everywhere else nobody learns what there is.
      if (isPrediction(slot) && slot.kind === 'session') t.equal(unknown.statusCode, 200, `${nameOf(slot)}: a new one`)
      else t.equal(refusal(unknown), refusal(reply), `${nameOf(slot)} as if there were none`)
    }
    const own = await send(slot, id, owner)
    t.ok(own.statusCode < 300, `${nameOf(slot)} works for the owner: ${told(own)}`)
  }
})

t.test('a chatflow without a grant is 403 on every route, and an unknown one 404', async (t) => {
  const places = slots.filter((slot) => slot.kind === 'chatflow' && !administration.includes(slot))
  t.ok(places.length >= 5)
  for (const slot of places) {
    const before = await countRows()
    t.match(refused(await send(slot, report, other)), { status: 403, code: 'chatflow_forbidden' }, nameOf(slot))
    t.match(refused(await send(slot, 'nobody', other)), { status: 404, code: 'chatflow_not_found' }, nameOf(slot))
    t.strictSame(await countRows(), before, `${nameOf(slot)} changed nothing`)
    const own = await send(slot, report, owner)
    t.ok(own.statusCode < 300, `${nameOf(slot)} works with the grant: ${told(own)}`)
  }
})

t.test("nobody's account, grants or ledger are in reach of a user, whether they exist or not", async (t) => {
  t.ok(administration.length > 20, `${administration.length} places`)
  for (const slot of administration)
    for (const id of [owner.id, other.id, report, 'nobody']) {
      const before = await countRows()
      t.match((await send(slot, id, other)).json(), { status: 403, code: 'role_required' }, `${nameOf(slot)} ${id}`)
      t.strictSame(await countRows(), before, `${nameOf(slot)} changed nothing`)
    }
})

t.test('lists hold nothing of anybody else, and no filter changes that', async (t) => {
  const session = await make.session?.()
  for (const path of [
    '/chat/sessions',
    '/chat/credits',
    '/chat/credits/transactions',
    '/chat/usage?group_by=chatflow',
    '/chatflows'
  ]) {
    const { statusCode, body } = await request('GET', path, { token: other.token })
    t.equal(statusCode, 200, path)
    for (const text of [owner.id, owner.username, session ?? '', report]) t.notMatch(body, text, path)
  }
  for (const slot of slots.filter(({ kind }) => kind === 'filter'))
    t.notMatch((await send(slot, report, other)).body, 'of-owner', nameOf(slot))
})

t.test("an idempotency key of somebody else's is a key of one's own", async (t) => {
  const ask = (token: string) =>
    request('POST', '/chat/predict', {
      token,
      body: { chatflow_id: echo, question: 'mine' },
      headers: { 'idempotency-key': 'shared' }
    })
  const [mine, again, theirs] = [await ask(owner.token), await ask(owner.token), await ask(other.token)]
  t.equal(again.json().session_id, mine.json().session_id)
  t.equal(theirs.statusCode, 200)
  t.equal(theirs.headers['idempotency-replayed'], undefined)
  t.not(theirs.json().session_id, mine.json().session_id)
})

t.test('the hash of a token revokes no more than the token', async (t) => {
  const token = (await make.token?.()) ?? ''
  const body = { token_id: createHash('sha256').update(token).digest('hex') }
  for (const asker of [other, admin])
    t.match((await request('POST', '/chat/revoke', { token: asker.token, body })).json(), { code: 'token_not_found' })
  t.equal((await request('POST', '/chat/refresh', { body: { refresh_token: token } })).statusCode, 200)
})

t.test("Flowise's own path to stop stops nobody else's run", async (t) => {
  const { standIn } = gateway
  standIn.next({ gates: { head: 'wait' } })
  const sessionId = `of-owner-${randomUUID()}`
  const body = { chatflow_id: echo, question: 'mine', sessionId }
  const running = request('POST', '/chat/predict', { token: owner.token, body })
  await standIn.gate('wait').reached
  const abort = `/api/v1/chatmessage/abort/${echo}/${sessionId}`
  for (const { token } of [other, admin]) t.equal((await request('PUT', abort, { token })).statusCode, 200)
  standIn.gate('wait').open()
  t.equal((await running).statusCode, 200)
  t.equal(standIn.aborts.length, 0)
})
