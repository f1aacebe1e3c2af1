import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { version } from '../../src/version.ts'
import { createFakeClock } from '../clock.ts'
import { readCapture } from '../fixtures/flowise/read.ts'
import { buildTestApp } from '../helper.ts'
import { openSurface } from './open.ts'

const { echo, report, fragile } = DEMO_IDS
t.setTimeout(300_000)

const CONFIG = `/api/v1/public-chatbotConfig/${echo}`
const UPLOADS = `/api/v1/chatflows-uploads/${echo}`
const CONFIGS = /^GET .*\/public-chatbotConfig\//
const NO_UPLOADS = {
  isSpeechToTextEnabled: false,
  isImageUploadAllowed: false,
  isRAGFileUploadAllowed: false,
  imgUploadSizeAndTypes: [],
  fileUploadSizeAndTypes: []
}

t.test('a recorded configuration loses its graph and keeps what the widget reads', async (t) => {
  const { request, user, standIn, json } = await openSurface(t)
  standIn.next(json(JSON.parse(readCapture('40-public-chatbotConfig').body.toString())), CONFIGS)
  const reply = await request('GET', CONFIG, { token: user.token })
  t.equal(reply.statusCode, 200)
  t.match(reply.headers['content-type'], 'application/json')
  t.strictSame(reply.json(), { uploads: NO_UPLOADS, flowData: '{"nodes":[],"edges":[]}', isTTSEnabled: false })
  t.notMatch(reply.body, /sk-fake|You are a test bot|basepath/)
  const [asked] = standIn.requests.filter(({ url }) => url.includes('/public-chatbotConfig/'))
  t.equal(asked?.headers.authorization, 'Bearer flowise-test-key')
})

t.test('of a form the widget gets the fields, and of everything else what it draws', async (t) => {
  const { request, visitor, standIn, json } = await openSurface(t)
  const secret = { prompt: 'secret', credentialId: 'secret', openAIApiKey: 'secret' }
  const field = {
    type: 'options',
    label: 'Size',
    name: 'size',
    secret,
    addOptions: [{ option: 'L', secret }, { option: 'M' }]
  }
  const inputs = {
    startInputType: 'formInput',
    formTitle: 'Order',
    formDescription: 'What would you like?',
    formInputTypes: [field, { type: 'string', label: 'Name', name: 'name', addOptions: '' }],
    startState: [secret],
    startEphemeralMemory: true
  }
  const graph = {
    nodes: [
      { id: 'startAgentflow_0', data: { name: 'startAgentflow', inputs, inputParams: [secret] } },
      { id: 'llmAgentflow_0', data: { name: 'llmAgentflow', inputs: secret } }
    ],
    edges: [{ secret }],
    viewport: {}
  }
  const uploads = {
    ...NO_UPLOADS,
    isImageUploadAllowed: true,
    imgUploadSizeAndTypes: [{ fileTypes: ['image/png'], maxUploadSize: 5 }]
  }
  const shown = {
    welcomeMessage: 'Hello',
    starterPrompts: { 0: { prompt: 'Start' } },
    leads: { status: true, title: 'You?', email: true },
    chatFeedback: { status: true }
  }
  const config = {
    ...shown,
    followUpPrompts: { status: true, selectedProvider: 'x', x: secret },
    fullFileUpload: { status: true, allowedUploadFileTypes: 'text/plain', pdfFile: secret },
    postProcessing: { customFunction: 'secret' },
    allowedOrigins: ['https://secret.example'],
    overrideConfig: secret,
    uploads: { ...uploads, secret },
    flowData: JSON.stringify(graph),
    isTTSEnabled: true
  }
  standIn.always(json(config), CONFIGS)
  const token = await visitor('anna')
  const reply = await request('GET', CONFIG, { token })
  const { flowData, ...others } = reply.json()
  t.strictSame(others, {
    ...shown,
    followUpPrompts: { status: true },
    fullFileUpload: { status: true, allowedUploadFileTypes: 'text/plain' },
    uploads,
    isTTSEnabled: true
  })
  const { startInputType, formTitle, formDescription } = inputs
  const formInputTypes = [
    { type: 'options', label: 'Size', name: 'size', addOptions: [{ option: 'L' }, { option: 'M' }] },
    { type: 'string', label: 'Name', name: 'name', addOptions: [] }
  ]
  t.strictSame(JSON.parse(flowData), {
    nodes: [
      {
        id: 'startAgentflow_0',
        data: { name: 'startAgentflow', inputs: { startInputType, formTitle, formDescription, formInputTypes } }
      }
    ],
    edges: []
  })
  t.notMatch(reply.body, 'secret')
  t.strictSame((await request('GET', UPLOADS, { token })).json(), uploads)
  t.equal(standIn.requests.filter(({ url }) => url.includes('/public-chatbotConfig/')).length, 1, 'asked once')
})

t.test('Flowise is asked again after a minute, and what it did not answer is not remembered', async (t) => {
  const clock = createFakeClock(Date.now())
  const {
    request,
    admin: { token },
    standIn
  } = await buildTestApp(t, { clock })
  const asked = () => standIn.requests.filter(({ url }) => url.includes('/public-chatbotConfig/')).length
  standIn.next({ refuse: true }, CONFIGS)
  const failed = await request('GET', CONFIG, { token })
  t.equal(failed.statusCode, 503)
  t.match(failed.headers['content-type'], /^application\/json/)
  t.match(failed.json(), { message: /^The assistant cannot be reached/, code: 'upstream_unavailable' })
  const together = await Promise.all(Array.from({ length: 20 }, () => request('GET', CONFIG, { token })))
  t.ok(together.every(({ statusCode }) => statusCode === 200))
  t.equal(asked(), 2, 'calls at the same time share one')
  clock.advance(61_000)
  t.equal((await request('GET', UPLOADS, { token })).statusCode, 200)
  t.equal(asked(), 3)
})

t.test('nobody learns of a chatflow that is not theirs', async (t) => {
  const { request, user, visitor, standIn, seen } = await openSurface(t)
  const before = standIn.requests.length
  const token = await visitor('anna')
  for (const noun of ['public-chatbotConfig', 'chatflows-uploads']) {
    const status = async (id: string, token?: string) => {
      const reply = await request('GET', `/api/v1/${noun}/${id}`, token === undefined ? {} : { token })
      t.match(reply.headers['content-type'], /^application\/json/)
      t.equal(reply.json().error, reply.json().message)
      return reply.statusCode
    }
    for (const id of [echo, 'unknown']) t.equal(await status(id), 401)
    t.equal(await status('unknown', user.token), 404)
    t.equal(await status(fragile, user.token), 403)
    t.equal(await status(report, token), 403, "the user's, and not the page's")
    t.equal(await status('..%2f..%2fcredentials', user.token), 404)
  }
  t.equal(standIn.requests.length, before)
  t.equal(seen(/credentials/).length, 0)
})

t.test('pictures are what their bytes say, and never a page', async (t) => {
  const { request, user, visitor, standIn } = await openSurface(t)
  const icon = async (name: string, token = user.token) => request('GET', `/api/v1/node-icon/${name}`, { token })
  const reply = await icon('chatOpenAI', await visitor('anna'))
  t.equal(reply.statusCode, 200)
  t.match(reply.body, /^<svg /)
  t.match(reply.headers, {
    'content-type': 'image/svg+xml',
    'content-security-policy': /default-src 'none'.*sandbox/,
    'x-content-type-options': 'nosniff',
    'cache-control': /^private, max-age=\d+$/
  })
  await icon('chatOpenAI')
  t.equal(standIn.requests.filter(({ url }) => url === '/api/v1/node-icon/chatOpenAI').length, 1, 'remembered')
  const pictures: [string, string, string | undefined][] = [
    ['commented', '<?xml version="1.0"?>\n<!-- a > b --><!DOCTYPE svg PUBLIC "x">\n<svg></svg>', 'image/svg+xml'],
    ['page', '<!doctype html><html><svg></svg></html>', undefined],
    ['scripted', '<html xmlns="http://www.w3.org/1999/xhtml"><script>1</script></html>', undefined],
    ['comments', `${'<!---->'.repeat(500)}<p>`, undefined]
  ]
  for (const [name, body, type] of pictures) {
    standIn.next({ headers: { 'content-type': 'image/svg+xml' }, body }, /node-icon/)
    const { statusCode, headers } = await icon(name)
    t.same([statusCode, statusCode === 200 ? headers['content-type'] : undefined], [type ? 200 : 404, type], name)
  }
  standIn.next({ headers: { 'content-type': 'image/svg+xml' }, body: `<svg>${' '.repeat(300_000)}</svg>` }, /node-icon/)
  t.equal((await icon('huge')).statusCode, 502)
  t.equal((await icon('unknown')).statusCode, 404)
  const before = standIn.requests.length
  for (const name of ['..%2f..%2fsettings', 'a.b', '%2e%2e', 'a%00', 'ü', 'x'.repeat(101)])
    t.equal((await icon(name)).statusCode, 404, name)
  t.equal((await request('GET', '/api/v1/node-icon/chatOpenAI')).statusCode, 401)
  t.equal(standIn.requests.length, before)
})

t.test('nobody goes through all names there might be', async (t) => {
  const { request, user, standIn } = await openSurface(t)
  standIn.always({ status: 500, body: '{}' }, /node-icon/)
  const replies = Array.from({ length: 250 }, (_, index) =>
    request('GET', `/api/v1/node-icon/n${index}`, { token: user.token })
  )
  const limited = (await Promise.all(replies)).filter(({ statusCode }) => statusCode === 429)
  t.equal(limited.length, 10)
  t.match(limited[0]?.json(), { code: 'rate_limited', message: /wait a minute/ })
})

t.test('ping is for everybody; the version of Flowise is for those who use it by right', async (t) => {
  const { request, user, visitor } = await openSurface(t)
  const pong = await request('GET', '/api/v1/ping')
  t.same([pong.statusCode, pong.body], [200, 'pong'])
  const token = await visitor('anna')
  t.equal((await request('GET', '/api/v1/ping', { token })).body, 'pong')
  t.strictSame((await request('GET', '/api/v1/version', { token: user.token })).json(), { version: '3.1.4' })
  t.strictSame((await request('GET', '/api/v1/version', { token })).json(), { version })
  t.equal((await request('GET', '/api/v1/version')).statusCode, 401)
})

t.test('whether a chatflow streams is told below the token of a page too', async (t) => {
  const { request, visitor } = await openSurface(t)
  const token = await visitor('anna')
  for (const id of [echo, report, 'unknown', 'x'.repeat(300), '%F0%9F%98%80'])
    t.strictSame((await request('GET', `/api/v1/chatflows-streaming/${id}`, { token })).json(), {
      isStreaming: id !== report
    })
})
