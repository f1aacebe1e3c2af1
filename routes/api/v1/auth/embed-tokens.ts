import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { type Minter, MAX_EMBED_TOKEN_LENGTH } from '../../../../src/auth/embed-tokens.ts'
import { type Identity, identityOf } from '../../../../src/auth/identity.ts'
import { isoInstant } from '../../../../src/clock.ts'
import { AppError, invalid } from '../../../../src/errors.ts'
import { normalOrigin } from '../../../../src/origin.ts'
import { Id, Instant, Members, Nullable, problems, Type } from '../../../../src/schema.ts'

const optional = <T extends Parameters<typeof Nullable>[0]>(schema: T) => Type.Optional(Nullable(schema))

const NewToken = Members(
  {
    chatflow_id: Id,
    expires_in: optional(Type.Integer({ minimum: 60, maximum: 86_400, default: 3600, description: 'seconds' })),
    origins: optional(
      Type.Array(Type.String({ minLength: 8, maxLength: 255 }), {
        maxItems: 20,
        description: 'of the pages that may use it, such as https://shop.example.com; absent: all'
      })
    ),
    visitor_id: optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        pattern: '^[A-Za-z0-9._:-]+$',
        description: '1 to 128 of A-Z a-z 0-9 . _ : -'
      })
    )
  },
  {
    examples: [
      { chatflow_id: '0ec4a1f0-5b1e-4d58-9a57-3f0c8d1e2a01', expires_in: 3600, origins: ['https://shop.example.com'] }
    ]
  }
)
const TokenBody = Type.Object({
  token: Type.String(),
  api_host: Type.String({
    description: 'what a widget takes for its apiHost',
    examples: ['https://gateway.example.com/e/fge_…']
  }),
  chatflow_id: Id,
  visitor_id: Type.String({ description: 'whose chats these are; with the next token the visitor keeps them' }),
  expires_at: Instant
})

const DEFAULT_SECONDS = 3600

/** Access for web pages, made by the server of their owner. */
export default (async function embedTokenRoutes(app) {
  app.post(
    '/embed-tokens',
    {
      config: { access: 'user', scope: 'chat' },
      schema: {
        operationId: 'keys.createEmbedToken',
        summary: 'Make a short-lived token for a web page: one chatflow, one visitor, some origins',
        tags: ['authentication'],
        security: [{ bearer: [] }],
        body: NewToken,
        response: { 201: TokenBody, ...problems(400, 401, 403, 404, 413, 415, 422, 429, 503) }
      }
    },
    async function createEmbedToken(request, reply) {
      const identity = identityOf(request)
      const { chatflow_id: chatflowId, expires_in: seconds, origins, visitor_id } = request.body
      // As the page will come: with the grants of the user, and nothing that a role adds to them.
      await app.permissions.require({ ...identity, isAdmin: false }, chatflowId)
      const lastsUntil = app.clock.now() + (seconds ?? DEFAULT_SECONDS) * 1000
      const claims = {
        minter: minterOf(identity),
        chatflowId,
        visitorId: visitor_id ?? app.ids.run(),
        origins: originsOf(origins ?? []),
        expiresAt: identity.key === null ? lastsUntil : Math.min(lastsUntil, identity.token.expiresAt)
      }
      const token = app.embedTokens.sign(claims)
      if (token.length > MAX_EMBED_TOKEN_LENGTH) throw invalid(['body', 'origins'], 'are too long together')
      return reply.code(201).send({
        token,
        api_host: `${app.config.publicBaseUrl ?? ownOrigin(request)}/e/${token}`,
        chatflow_id: chatflowId,
        visitor_id: claims.visitorId,
        expires_at: isoInstant(claims.expiresAt)
      })
    }
  )
} satisfies FastifyPluginAsyncTypebox)

/** The token ends with what made it. @throws scope_required for the token of another service, which has no end to wait for */
function minterOf({ key, token, userId, sid }: Identity): Minter {
  if (key !== null) return { kind: 'key', keyId: key.keyId, hashStart: token.hash.slice(0, HASH_LENGTH) }
  if (sid !== null) return { kind: 'login', userId, sid }
  throw new AppError('scope_required', { detail: 'This needs an API key with the scope chat, or a login here.' })
}

/** 128 bits of the hash say which secret of the key it was. */
const HASH_LENGTH = 32

function originsOf(given: string[]): string[] {
  return given.map((text, index) => {
    const origin = normalOrigin(text)
    if (origin === undefined)
      throw invalid(['body', 'origins', String(index)], 'must be an origin such as https://shop.example.com')
    return origin
  })
}

/** The gateway as this client reaches it, as far as the proxies in between are believed. */
function ownOrigin({ protocol, host }: FastifyRequest): string {
  return `${protocol}://${host}`
}
