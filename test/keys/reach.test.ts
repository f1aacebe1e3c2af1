import t from 'tap'
import { buildTestApp } from '../helper.ts'
import { formOf } from '../surface/form.ts'
import { ask, echo, makeKey, outcome, report } from './keys.ts'

async function setUp(t: Parameters<typeof buildTestApp>[0]) {
  const gateway = await buildTestApp(t)
  const user = await gateway.createUser({ credits: 10, grants: [echo, report] })
  const { key } = await makeKey(gateway, user, { chatflow_ids: [echo] })
  const upload = (token: string, session?: string) => {
    const file = { name: 'file', filename: 'a.txt', type: 'text/plain', content: 'hello' }
    const parts = session === undefined ? [file] : [file, { name: 'session_id', content: session }]
    return gateway.request('POST', '/chat/files', { token, ...formOf(parts) })
  }
  return { gateway, user, key, upload }
}

t.test('a key for one chatflow neither stops nor follows anything in another, by no path', async (t) => {
  const { gateway, user, key } = await setUp(t)
  const { request, standIn } = gateway
  standIn.next({ gates: { head: 'wait' } })
  const running = ask(gateway, user.token, { chatflow_id: report, sessionId: 'first' })
  await standIn.gate('wait').reached
  for (const chatflow of [report, echo]) {
    const reply = await request('PUT', `/api/v1/chatmessage/abort/${chatflow}/first`, { token: key })
    t.equal(reply.statusCode, 200, 'as always')
  }
  const stop = (token: string) => request('POST', '/chat/sessions/first/stop', { token })
  t.strictSame(outcome(await stop(key)), [404, 'session_not_found'])
  const [exchange] = gateway.app.exchanges.values()
  for (const [path, code] of [
    [`streams/${exchange?.messageId}`, 'message_not_found'],
    ['sessions/first/stream', 'session_not_found']
  ] as const)
    t.strictSame(outcome(await request('GET', `/chat/${path}`, { token: key })), [404, code], path)
  standIn.gate('wait').open()
  t.match((await running).json(), { response: /./ }, 'it ran to its end')
  t.equal(standIn.aborts.length, 0)
  t.match((await stop(user.token)).json(), { stopped: false })
})

t.test('nor does it have the files of another chatflow, or put any there', async (t) => {
  const { gateway, user, key, upload } = await setUp(t)
  const { request } = gateway
  for (const chatflow_id of [echo, report]) await ask(gateway, user.token, { chatflow_id, sessionId: chatflow_id })
  const [own, foreign, loose] = await Promise.all(
    [echo, report, undefined].map(async (session) => (await upload(user.token, session)).json().file_id)
  )
  const get = async (id: string) => outcome(await request('GET', `/chat/files/${id}`, { token: key }))
  t.strictSame(await get(own), [200, undefined])
  t.strictSame(await get(loose), [200, undefined], 'it is of no conversation')
  t.strictSame(await get(foreign), [404, 'file_not_found'])
  for (const [method, url] of [
    ['DELETE', `/chat/files/${foreign}`],
    ['GET', `/chat/files/${foreign}/thumbnail`]
  ] as const)
    t.strictSame(outcome(await request(method, url, { token: key })), [404, 'file_not_found'], url)
  t.strictSame(outcome(await ask(gateway, key, { file_ids: [foreign] })), [404, 'file_not_found'])
  t.strictSame(outcome(await upload(key, report)), [404, 'session_not_found'])
  t.equal((await upload(key, echo)).statusCode, 201)
  t.equal((await request('GET', `/chat/files/${foreign}`, { token: user.token })).statusCode, 200)
})

t.test('a key for one chatflow reads no transactions, which are of all', async (t) => {
  const { gateway, user, key } = await setUp(t)
  const read = (token: string) => gateway.request('GET', '/chat/credits/transactions', { token })
  t.strictSame(outcome(await read(key)), [403, 'scope_required'])
  const { key: whole } = await makeKey(gateway, user, {})
  t.equal((await read(whole)).statusCode, 200)
})
