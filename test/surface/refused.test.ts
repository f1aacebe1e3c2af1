import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { sendRaw } from '../gates/raw-http.ts'
import type { Send } from '../helper.ts'
import { openSurface } from './open.ts'

const { echo } = DEMO_IDS
const CHAT = '11111111-1111-4111-8111-111111111111'

/** Flowise's API without the paths that the gateway has too: some public there, some for keys, some for its own pages. */
const PATHS = [
  `internal-prediction/${echo}`,
  `webhook/${echo}`,
  `webhook-listener/${echo}`,
  `mcp/${echo}`,
  `mcp-server/${echo}`,
  'account/register',
  'account/login',
  'account/delete',
  'apikey',
  `apikey/${CHAT}`,
  'executions',
  `executions/${CHAT}`,
  `public-executions/${CHAT}`,
  `public-chatflows/${echo}`,
  'chatflows/apikey/a-key',
  `chatflows/has-changed/${echo}/2026`,
  'verify/apikey/a-key',
  `chatmessage/${echo}`,
  `internal-chatmessage/${echo}`,
  `export-chatmessage/${echo}`,
  'settings',
  'ip',
  'assistants',
  `assistants/${CHAT}`,
  'openai-assistants',
  'openai-assistants-file/upload',
  'openai-assistants-vector-store',
  `openai-realtime/${echo}`,
  'credentials',
  `credentials/${CHAT}`,
  'components-credentials',
  'components-credentials-icon/openAIApi',
  'variables',
  'tools',
  'documentstore/store',
  `document-store/${CHAT}`,
  `stats/${echo}`,
  `flow-config/${echo}`,
  'fetch-links',
  `feedback-stats/${echo}`,
  `upsert-history/${echo}`,
  `vector/internal-upsert/${echo}`,
  'load-prompt',
  'prompts-list',
  'marketplaces/templates',
  'nodes',
  'nodes/chatOpenAI',
  'nodes/category/Tools',
  'node-config',
  'node-custom-function',
  'node-load-method/chatOpenAI',
  'node-icons/chatOpenAI',
  'nvidia-nim/preload',
  'files',
  'workspace',
  'workspace/shared',
  'organization',
  'organizationuser',
  'user',
  'role',
  'login-activity',
  'loginmethod/default',
  'auth/login',
  'auth/permissions/workspace',
  'auth/refreshToken',
  'azure/login',
  'oauth2-credential/callback',
  'evaluations',
  'evaluators',
  'datasets',
  'scim/v2/Users',
  'agentflowv2-generator/generate',
  'chatflows-uploads',
  'public-chatbotConfig',
  'node-icon',
  'logs',
  'metrics',
  'validation/flow',
  'custom-templates',
  'pricing',
  'text-to-speech/voices',
  'get-upload-path',
  'schedule'
]

/** What one might write so that something else than the gateway's routes is found. */
const VARIANTS = [
  `/API/v1/chatmessage/${echo}`,
  `/api/V1/prediction/${echo}`,
  `/api/v1/Prediction/${echo}`,
  `/api/v1/PREDICTION/${echo}`,
  `/api/v1//internal-prediction/${echo}`,
  `/api//v1/prediction/${echo}`,
  `//api/v1/internal-prediction/${echo}`,
  `/api/v1/prediction/../internal-prediction/${echo}`,
  `/api/v1/prediction/%2e%2e/internal-prediction/${echo}`,
  `/api/v1/prediction%2f${echo}`,
  `/api%2fv1%2fprediction%2f${echo}`,
  `/api/v1/prediction;x=1/${echo}`,
  `/api/v1/./internal-prediction/${echo}`,
  `/api/v1/internal%2dprediction/${echo}`,
  `/api/v1/%69nternal-prediction/${echo}`,
  `/api/v1/chatmessage%2fabort/${echo}/x`,
  `/api/v1/public-chatbotconfig/${echo}`,
  `/api/v2/prediction/${echo}`,
  `/prediction/${echo}`,
  `/internal-prediction/${echo}`,
  '/canvas',
  `/chatbot/${echo}`,
  '/api/v1',
  '/api/v1/'
]

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'] as const
const BODY = { question: 'hi', chatId: 'c', streaming: false }

t.setTimeout(300_000)

t.test("nothing else of Flowise's API is here, with any method and any key", async (t) => {
  const { request, user, admin, visitor, standIn } = await openSurface(t)
  const token = await visitor('anna')
  const before = standIn.requests.length
  const wrong: string[] = []
  for (const url of PATHS.map((path) => `/api/v1/${path}`))
    for (const method of METHODS) {
      // Credentials make no difference; all of them with all methods would only take longer.
      const whose = method === 'GET' || method === 'POST' ? [undefined, user.token, admin.token, token] : [user.token]
      for (const credential of whose) wrong.push(...(await complaints({ request, method, url, credential })))
    }
  t.strictSame(wrong, [])
  t.ok(PATHS.length > 80)
  t.equal(standIn.requests.length, before, 'Flowise has heard of none of it')
})

t.test('no spelling of an address finds what is not there', async (t) => {
  const { listen, user, visitor, standIn } = await openSurface(t)
  const token = await visitor('anna')
  const url = await listen()
  const body = JSON.stringify(BODY)
  const before = standIn.requests.length
  const head = `host: gateway\r\nconnection: close\r\nauthorization: Bearer ${user.token}\r\n`
  const tail = `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
  const send = (method: string, path: string) => sendRaw(url, `${method} ${path} HTTP/1.1\r\n${head}${tail}`)
  for (const method of ['GET', 'POST', 'PUT'])
    for (const variant of VARIANTS)
      for (const path of [variant, `/e/${token}${variant}`]) {
        const reply = await send(method, path)
        t.match(reply.headers['content-type'], /^application\/(problem\+)?json/, `${method} ${path}`)
        t.same([reply.status, JSON.parse(reply.body).code], [404, 'not_found'], `${method} ${path}`)
      }
  t.equal(standIn.requests.length, before)
  const id = '..%2finternal-prediction%2f0ec4a1f0'
  const reply = await send('POST', `/api/v1/prediction/${id}`)
  t.same(
    [reply.status, JSON.parse(reply.body).code],
    [404, 'chatflow_not_found'],
    'a chatflow id may have any characters'
  )
  t.equal(standIn.requests.length, before)
})

t.test('paths that are here have their own methods only', async (t) => {
  const { request, user, standIn } = await openSurface(t)
  const before = standIn.requests.length
  const offered: Record<string, readonly string[]> = {
    [`prediction/${echo}`]: ['POST'],
    [`chatflows-streaming/${echo}`]: ['GET', 'HEAD'],
    [`chatflows-uploads/${echo}`]: ['GET', 'HEAD'],
    [`public-chatbotConfig/${echo}`]: ['GET', 'HEAD'],
    [`chatmessage/abort/${echo}/c`]: ['PUT'],
    'node-icon/chatOpenAI': ['GET', 'HEAD'],
    ping: ['GET', 'HEAD'],
    version: ['GET', 'HEAD']
  }
  const wrong: string[] = []
  for (const [path, methods] of Object.entries(offered))
    for (const method of METHODS.filter((one) => !methods.includes(one)))
      wrong.push(...(await complaints({ request, method, url: `/api/v1/${path}`, credential: user.token })))
  t.strictSame(wrong, [])
  t.equal(standIn.requests.length, before)
})

interface Attempt {
  request: Send
  method: (typeof METHODS)[number]
  url: string
  credential: string | undefined
}

/** What is wrong with an answer that should be: there is nothing here, in JSON. */
async function complaints({ request, method, url, credential }: Attempt): Promise<string[]> {
  const hasBody = method === 'POST' || method === 'PUT' || method === 'PATCH'
  const { statusCode, headers, body } = await request(method, url, {
    ...(credential === undefined ? {} : { token: credential }),
    ...(hasBody ? { body: BODY } : {}),
    headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8', 'x-request-from': 'internal' }
  })
  const isJson = /^application\/(problem\+)?json/.test(String(headers['content-type']))
  const says = isJson && (method === 'HEAD' || JSON.parse(body).code === 'not_found')
  return statusCode === 404 && says
    ? []
    : [`${method} ${url}: ${statusCode} ${headers['content-type']} ${body.slice(0, 80)}`]
}
