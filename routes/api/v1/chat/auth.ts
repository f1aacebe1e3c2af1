import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { identityOf } from '../../../../src/auth/identity.ts'
import type { TokenPair } from '../../../../src/auth/sessions.ts'
import { LoginUser, userView } from '../../../../src/auth/user-view.ts'
import { Members, Message, Nullable, responses, type Static, Type } from '../../../../src/schema.ts'

const Login = Members({
  username: Type.String({ minLength: 1, maxLength: 254, description: 'username or e-mail address' }),
  password: Type.String({ minLength: 1, maxLength: 1024 })
})

const Refresh = Members({ refresh_token: Type.String({ minLength: 1, maxLength: 4096 }) })

const Revoke = Nullable(
  Members({
    token_id: Type.Optional(
      Nullable(Type.String({ minLength: 1, maxLength: 4096, description: 'a refresh token, or its SHA-256 in hex' }))
    ),
    all_tokens: Type.Optional(Nullable(Type.Boolean({ description: 'every session of yours; wins over token_id' })))
  })
)

const TokenReply = Type.Object({
  access_token: Type.String(),
  refresh_token: Type.String(),
  token_type: Type.Literal('bearer'),
  expires_in: Type.Integer({ description: 'life of the access token in seconds' }),
  user: LoginUser,
  message: Message
})

const RevokeReply = Type.Object({
  message: Message,
  revoked_count: Type.Integer({ description: 'login sessions ended' })
})

const tags = ['authentication']

/** Log in, exchange a refresh token, log out. */
export default (async function authRoutes(app) {
  app.post(
    '/authenticate',
    {
      config: { access: 'public' },
      schema: {
        operationId: 'auth.login',
        summary: 'Log in with username or e-mail and password',
        tags,
        body: Login,
        response: responses(TokenReply, 400, 401, 413, 415, 422, 429, 503)
      }
    },
    async function login(request) {
      const { username, password } = request.body
      const pair = await app.throttle.login(request.ip, username, () => app.logins.login(username, password))
      return tokenReply(pair, 'Logged in.')
    }
  )

  app.post(
    '/refresh',
    {
      config: { access: 'public' },
      schema: {
        operationId: 'auth.refresh',
        summary: 'Exchange a refresh token, once, for two new tokens',
        tags,
        body: Refresh,
        response: responses(TokenReply, 400, 401, 413, 415, 422, 429, 503)
      }
    },
    async function refresh(request) {
      const exchange = () => app.logins.refresh(request.body.refresh_token)
      return tokenReply(await app.throttle.refresh(request.ip, exchange), 'Tokens refreshed.')
    }
  )

  app.post(
    '/revoke',
    {
      config: { access: 'user' },
      schema: {
        operationId: 'auth.revoke',
        summary: 'End this login session, another one, or all of them',
        tags,
        security: [{ bearer: [] }],
        body: Revoke,
        response: responses(RevokeReply, 400, 401, 404, 413, 415, 422, 503)
      }
    },
    async function revoke(request) {
      const identity = identityOf(request)
      const { token_id: tokenId, all_tokens: isAll } = request.body ?? {}
      const { logins } = app
      if (isAll) return revoked(await logins.revokeAll(identity))
      return revoked(await (tokenId ? logins.revoke(tokenId, identity) : logins.revokeOwn(identity)))
    }
  )
} satisfies FastifyPluginAsyncTypebox)

function tokenReply(pair: TokenPair, message: string): Static<typeof TokenReply> {
  return {
    access_token: pair.accessToken,
    refresh_token: pair.refreshToken,
    token_type: 'bearer',
    expires_in: pair.expiresInSeconds,
    user: { ...userView(pair.user), ...(pair.isVerified === undefined ? {} : { is_verified: pair.isVerified }) },
    message
  }
}

function revoked(count: number): Static<typeof RevokeReply> {
  return { message: count === 1 ? '1 login session ended.' : `${count} login sessions ended.`, revoked_count: count }
}
