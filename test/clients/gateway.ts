import type { Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { framesOf } from '../flowise/frames.ts'
import type { Clock } from '../../src/clock.ts'
import { buildTestApp, type TestApp, type TestUser } from '../helper.ts'

export interface ClientGatewayOptions {
  env?: Record<string, string>
  /** The user's; default 100. */
  credits?: number
  clock?: Clock
}

/** What a token for a page may be confined to, besides its chatflow. */
export interface EmbedOptions {
  visitor_id?: string
  origins?: string[]
  expires_in?: number
}

export interface ClientGateway extends TestApp {
  /** Where it listens. */
  url: string
  user: TestUser
  /** An API key of the user. */
  apiKey: string
  createKey(options?: Record<string, unknown>): Promise<string>
  /** Revokes `apiKey`. */
  revokeKey(): Promise<void>
  /** What a page gets for `apiHost`: minted with the key, as a customer's server would. */
  apiHost(chatflowId: string, options?: EmbedOptions): Promise<string>
  /** Credits of the user, the held ones not counted. */
  credits(): Promise<number>
  /** Changes settings of a chatflow, as an administrator. */
  configure(chatflowId: string, settings: Record<string, unknown>): Promise<void>
  /** From now on Flowise's public configuration of this chatflow has these members too. */
  publish(chatflowId: string, config: Record<string, unknown>): void
}

/** The gateway on a real socket, with a user, credits, grants and a key: all that a client in the wild would have. */
export async function startGateway(
  t: Test,
  { env = {}, credits = 100, clock }: ClientGatewayOptions = {}
): Promise<ClientGateway> {
  const gateway = await buildTestApp(t, { env: { DEFAULT_CREDITS: '0', ...env }, ...(clock ? { clock } : {}) })
  const user = await gateway.createUser({ username: 'owner-of-keys', credits, grants: Object.values(DEMO_IDS) })
  const url = await gateway.listen()

  /** A reply that must be a success; over the socket, so that addresses in it are those that clients see. */
  async function call(method: string, path: string, bearer: string, body?: unknown): Promise<Record<string, unknown>> {
    const reply = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
    if (!reply.ok) throw new Error(`${method} ${path} was refused: ${reply.status} ${await reply.text()}`)
    return Object(await reply.json())
  }

  async function createKey(options: Record<string, unknown> = {}): Promise<string> {
    const made = await call('POST', '/api/v1/auth/api-keys', user.token, { name: 'tests', ...options })
    return String(made.api_key)
  }

  const apiKey = await createKey()
  return {
    ...gateway,
    url,
    user,
    apiKey,
    createKey,
    async revokeKey() {
      const [, id = ''] = apiKey.split('_')
      await gateway.request('DELETE', `/api/v1/auth/api-keys/${id}`, { token: user.token })
    },
    async apiHost(chatflowId, options = {}) {
      const body = { chatflow_id: chatflowId, ...options }
      return String((await call('POST', '/api/v1/auth/embed-tokens', apiKey, body)).api_host)
    },
    async credits() {
      return Number((await call('GET', '/api/v1/chat/credits', user.token)).credits_remaining)
    },
    async configure(chatflowId, settings) {
      await call('PATCH', `/api/v1/admin/chatflows/${chatflowId}`, gateway.admin.token, settings)
    },
    publish(chatflowId, config) {
      const body = JSON.stringify({ ...BARE_CONFIG, ...config })
      gateway.standIn.always({ body }, new RegExp(`^GET .*/public-chatbotConfig/${chatflowId}`))
    }
  }
}

/** What Flowise says of a chatflow where nothing is set. */
const BARE_CONFIG = {
  uploads: {
    isSpeechToTextEnabled: false,
    isImageUploadAllowed: false,
    isRAGFileUploadAllowed: false,
    imgUploadSizeAndTypes: [],
    fileUploadSizeAndTypes: []
  },
  flowData: '{"nodes":[],"edges":[]}',
  isTTSEnabled: false
}

/** The events of a recorded stream, as the stand-in replays them; without `end`, which it sends by itself. */
export function recorded(capture: string): (readonly [event: string, data: unknown])[] {
  return framesOf(capture)
    .map(({ event, data }) => [event, data] as const)
    .filter(([event]) => event !== 'end')
}
