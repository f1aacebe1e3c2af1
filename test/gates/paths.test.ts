import t from 'tap'
import { buildTestApp } from '../helper.ts'
import { operationsOf } from './operations.ts'
import { sendRaw } from './raw-http.ts'

/** Paths that older documents have without the prefix; the table of this test is made of the document and these. */
const FAMILIES = ['chat', 'chatflows', 'admin']
const UNKNOWN = 'nobody'

const gateway = await buildTestApp(t)
const { request, admin } = gateway
const user = await gateway.createUser()
const operations = operationsOf((await request('GET', '/openapi.json')).json())
const inFamilies = operations.filter(({ path }) => FAMILIES.includes(path.split('/')[3] ?? ''))
const elsewhere = operations.filter((operation) => !inFamilies.includes(operation))

/** Every way to write the path of an operation. */
function formsOf(path: string): string[] {
  const canonical = path.replaceAll(/\{\w+\}/g, UNKNOWN)
  const short = canonical.replace('/api/v1', '')
  return [canonical, short].flatMap((form) => [form, `${form}/`, `${form}?x=1`, `${form}/?x=1`])
}

/** What a route answers without doing anything: which checks it has, and what it wants to be given. */
const probes = {
  'without a token': {},
  'as a user': { token: user.token, body: '{"broken"', headers: { 'content-type': 'application/json' } },
  'with a broken body': { token: admin.token, body: '{"broken"', headers: { 'content-type': 'application/json' } },
  'with a body of the wrong type': { token: admin.token, body: 'x', headers: { 'content-type': 'image/png' } },
  'with an array for a body': { token: admin.token, body: [] }
} as const

t.test('with and without the prefix, with and without a slash at the end, it is the same route', async (t) => {
  t.ok(inFamilies.length > 35, `${inFamilies.length} operations`)
  for (const { method, path } of inFamilies)
    for (const [name, probe] of Object.entries(probes)) {
      // A route without a body takes no notice of one, and would do its work.
      if (method === 'DELETE' && !path.includes('{') && name !== 'without a token') continue
      const answers = new Map<string, string>()
      for (const form of formsOf(path)) {
        const { statusCode, headers, body } = await request(method, form, probe)
        t.notOk(headers.location, `${method} ${form} is no redirect`)
        t.notMatch(body, '"code":"not_found"', `${method} ${form} is a route`)
        const told = statusCode < 300 ? '' : body.replaceAll(/"(request_id|instance)":"[^"]*"/g, '')
        answers.set(form, `${statusCode} ${told}`)
      }
      t.equal(new Set(answers.values()).size, 1, `${method} ${path} ${name}: ${[...answers.values()][0]?.slice(0, 60)}`)
    }
})

t.test('reading in any form gives the same', async (t) => {
  const reads = inFamilies.filter(({ method, path }) => method === 'GET' && !path.includes('{'))
  t.ok(reads.length >= 8, `${reads.length} lists`)
  for (const { path } of reads) {
    const [first, ...others] = formsOf(path)
    const { statusCode, body } = await request('GET', first ?? '', { token: admin.token })
    t.equal(statusCode, 200, path)
    for (const form of others) {
      const other = await request('GET', form, { token: admin.token })
      t.equal(withoutInstants(other.body), withoutInstants(body), form)
    }
  }
})

t.test('there is no third form', async (t) => {
  for (const { method, path } of inFamilies) {
    const short = path.replaceAll(/\{\w+\}/g, UNKNOWN).replace('/api/v1', '')
    for (const form of [
      `/api${short}`,
      `/v1${short}`,
      `/api/v2${short}`,
      `/api/v1/api/v1${short}`,
      `/API/V1${short}`,
      `/${short}`
    ]) {
      const reply = await request(method, form, { token: admin.token })
      const { code, error } = reply.json()
      // Below /v1 errors have the form of OpenAI.
      t.match([reply.statusCode, code ?? error.code], [404, 'not_found'], `${method} ${form}`)
    }
  }
})

t.test('what older documents do not have without the prefix has one form', async (t) => {
  t.ok(elsewhere.length > 6, `${elsewhere.length} operations`)
  for (const { method, path } of elsewhere) {
    const canonical = path.replaceAll(/\{\w+\}/g, UNKNOWN)
    const other = canonical.startsWith('/api/v1') ? canonical.replace('/api/v1', '') : `/api/v1${canonical}`
    const reply = await request(method, other, { token: admin.token })
    t.match(reply.json(), { status: 404, code: 'not_found' }, `${method} ${other}`)
    if (canonical === '/') continue
    const slash = await request(method, `${canonical}/`)
    t.not(slash.statusCode, 404, `${method} ${canonical}/`)
  }
})

t.test('an address with scheme and host in the request line is the same address', async (t) => {
  const url = await gateway.listen()
  for (const path of ['/api/v1/chatflows', '/chatflows', '/chatflows/', '/health']) {
    const head = `GET ${url}${path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n`
    const { status } = await sendRaw(url, `${head}authorization: Bearer ${admin.token}\r\n\r\n`)
    t.equal(status, 200, path)
  }
})

function withoutInstants(body: string): string {
  return body.replaceAll(/"\d{4}-\d\d-\d\dT[^"]*"/g, '')
}
