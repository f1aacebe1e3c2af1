import { createHash } from 'node:crypto'
import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { ADMIN, buildTestApp, type Send } from '../helper.ts'

const { echo } = DEMO_IDS
const gateway = await buildTestApp(t, { env: { RATE_LIMIT_PER_MINUTE: '0', LOGIN_FAILURE_LIMIT: '0' } })
const { admin, request, standIn } = gateway
const token = admin.token
const user = await gateway.createUser({ credits: 1000, grants: [echo] })
const idle = await gateway.createUser()

/** One thing that can be said in several ways, and what is the same for all of them. */
interface Alias {
  name: string
  /** Each is a request of its own. */
  ways: Record<string, Parameters<Send>[2] & { url?: string }>
  method?: Parameters<Send>[0]
  url: string
  /** Makes what a way uses up. */
  before?: () => Promise<unknown>
  /** What a way did: the status, and what was understood. */
  effect(reply: Awaited<ReturnType<Send>>): unknown
  same: unknown
}

const ask = (body: object) => ({ token: user.token, body: { chatflow_id: echo, ...body } })
const question = () => (standIn.predictions.at(-1)?.body as { question?: string } | undefined)?.question
const login = async () => (await gateway.login(idle.username, idle.password)).refresh_token
const refreshTokens = [await login(), await login()] as const
const form = {
  token: user.token,
  body: '--edge\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\nsame\r\n--edge--\r\n',
  headers: { 'content-type': 'multipart/form-data; boundary=edge' }
}
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

const aliases: Alias[] = [
  {
    name: 'the question of a prediction',
    url: '/chat/predict',
    ways: {
      question: ask({ question: 'same' }),
      message: ask({ message: 'same' }),
      'message behind a blank question': ask({ question: ' ', message: 'same' }),
      'question before message': ask({ question: 'same', message: 'other' }),
      'message behind null': ask({ question: null, message: 'same' })
    },
    effect: ({ statusCode }) => [statusCode, question()],
    same: [200, 'same']
  },
  {
    name: 'the session of a prediction',
    url: '/chat/predict',
    ways: {
      sessionId: ask({ question: 'a', sessionId: 'same' }),
      session_id: ask({ question: 'a', session_id: 'same' }),
      'overrideConfig.sessionId': ask({ question: 'a', overrideConfig: { sessionId: 'same' } }),
      'sessionId before the others': ask({
        question: 'a',
        sessionId: 'same',
        session_id: 'b',
        overrideConfig: { sessionId: 'c' }
      }),
      'session_id behind an empty one': ask({ question: 'a', sessionId: '', session_id: 'same' })
    },
    effect: (reply) => [reply.statusCode, reply.json().session_id],
    same: [200, 'same']
  },
  {
    name: 'a prediction as a stream',
    url: '/chat/predict',
    ways: {
      'streaming in the body': ask({ question: 'a', streaming: true }),
      'the Accept header': { ...ask({ question: 'a' }), headers: { accept: 'text/event-stream' } },
      'a path of its own': { ...ask({ question: 'a' }), url: '/chat/predict/stream' },
      'that path with streaming false': { ...ask({ question: 'a', streaming: false }), url: '/chat/predict/stream' }
    },
    effect: ({ statusCode, headers }) => [statusCode, headers['content-type']],
    same: [200, 'text/event-stream; charset=utf-8']
  },
  {
    name: 'the address of an upload',
    url: '/chat/files',
    ways: {
      files: form,
      upload: { ...form, url: '/chat/upload' }
    },
    effect: (reply) => [reply.statusCode, reply.json().name, reply.json().size],
    same: [201, 'a.txt', 4]
  },
  {
    name: 'the name at a login',
    url: '/chat/authenticate',
    ways: {
      username: { body: { username: ADMIN.username, password: ADMIN.password } },
      'e-mail': { body: { username: ADMIN.email, password: ADMIN.password } },
      'in other letters': { body: { username: ` ${ADMIN.email.toUpperCase()}`, password: ADMIN.password } }
    },
    effect: (reply) => [reply.statusCode, reply.json().user?.id],
    same: [200, admin.id]
  },
  {
    name: 'a token to revoke',
    url: '/chat/revoke',
    ways: {
      itself: { token: idle.token, body: { token_id: refreshTokens[0] } },
      'its SHA-256': { token: idle.token, body: { token_id: sha256(refreshTokens[1]) } }
    },
    effect: (reply) => [reply.statusCode, reply.json().revoked_count],
    same: [200, 1]
  },
  {
    name: 'the key of a credit change',
    url: `/admin/users/${idle.id}/credits/allocate`,
    ways: {
      header: { token, body: { amount: 3 }, headers: { 'idempotency-key': 'same' } },
      member: { token, body: { amount: 3, idempotency_key: 'same' } },
      'header before member': {
        token,
        body: { amount: 3, idempotency_key: 'other' },
        headers: { 'idempotency-key': 'same' }
      }
    },
    effect: (reply) => [reply.statusCode, reply.json().credits_remaining],
    same: [200, 3]
  },
  {
    name: 'the user of a grant',
    method: 'DELETE',
    url: `/admin/chatflows/${echo}/users`,
    before: () => request('POST', `/admin/chatflows/${echo}/users`, { token, body: { user_id: user.id } }),
    ways: Object.fromEntries(
      (['user_id', 'username', 'email'] as const).flatMap((member) => {
        const value = member === 'user_id' ? user.id : user[member]
        const path = `/admin/chatflows/${echo}/users`
        return [
          [`${member} in the query`, { token, url: `${path}?${member}=${encodeURIComponent(value)}` }],
          [`${member} in the body`, { token, body: { [member]: value } }],
          [`${member} in the path`, { token, url: `${path}/${encodeURIComponent(value)}` }]
        ]
      })
    ),
    effect: (reply) => [reply.statusCode, reply.json().user_id, reply.json().status],
    same: [200, user.id, 'Deactivated']
  },
  {
    name: 'the confirmation of an empty sync',
    url: '/admin/chatflows/sync',
    before: async () => standIn.next({ body: '[]' }, /^GET .*\/chatflows(\?|$)/),
    ways: {
      query: { token, url: '/admin/chatflows/sync?confirm=true' },
      body: { token, body: { confirm: true } },
      both: { token, url: '/admin/chatflows/sync?confirm=false', body: { confirm: true } }
    },
    effect: (reply) => [reply.statusCode, reply.json().total_fetched],
    same: [200, 0]
  }
]

for (const { name, ways, method = 'POST', url: usual, before, effect, same } of aliases)
  t.test(`${name} can be said in ${Object.keys(ways).length} ways`, async (t) => {
    for (const [way, { url = usual, ...options }] of Object.entries(ways)) {
      await before?.()
      t.strictSame(effect(await request(method, url, options)), same, way)
    }
  })
