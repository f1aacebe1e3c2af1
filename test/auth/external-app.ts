import type { Test } from 'tap'
import { ADMIN, buildTestApp, type TestApp, type TestAppOptions } from '../helper.ts'
import { type AuthStandIn, SERVICE_SECRET, type ServiceUser, startAuthStandIn } from '../stand-in/auth-service.ts'

export const AUTHENTICATE = '/api/v1/chat/authenticate'
export const REFRESH = '/api/v1/chat/refresh'
export const REVOKE = '/api/v1/chat/revoke'
export const ME = '/api/v1/chat/credits'

export interface ExternalApp extends TestApp {
  service: AuthStandIn
  /** Logs in through the gateway; answers the whole reply. */
  enter(user: ServiceUser): ReturnType<TestApp['request']>
  /** The tokens of a login that must succeed. */
  tokensOf(user: ServiceUser): Promise<{ access_token: string; refresh_token: string }>
  refresh(token: string): ReturnType<TestApp['request']>
}

/** The gateway in front of an auth service that also knows the administrator of the tests. */
export async function buildExternalApp(
  t: Test,
  { limit = 1000, env = {}, ...options }: TestAppOptions & { limit?: number } = {}
): Promise<ExternalApp> {
  const service = await startAuthStandIn({ limit })
  t.teardown(() => service.close())
  service.add({ ...ADMIN, role: 'admin' })
  const test = await buildTestApp(t, {
    ...options,
    env: {
      EXTERNAL_AUTH_URL: `${service.url}/api/`,
      JWT_ACCESS_SECRET: SERVICE_SECRET,
      AUTH_TIMEOUT_MS: '2000',
      ...env
    }
  })
  const enter = ({ username, password }: ServiceUser) =>
    test.request('POST', AUTHENTICATE, { body: { username, password } })
  return {
    ...test,
    service,
    enter,
    async tokensOf(user) {
      const reply = await enter(user)
      if (reply.statusCode !== 200) throw new Error(`The login was refused: ${reply.body}`)
      return reply.json()
    },
    refresh: (refresh_token) => test.request('POST', REFRESH, { body: { refresh_token } })
  }
}

/** Status and code of a reply; a success has no code. */
export function outcome(reply: { statusCode: number; json(): { code?: string } }) {
  return [reply.statusCode, reply.json().code]
}

/** Resolves at the next full second: tokens of the service that are issued within one are equal. */
export async function nextSecond(): Promise<void> {
  await new Promise((resolve) => void setTimeout(resolve, 1001 - (Date.now() % 1000)))
}
