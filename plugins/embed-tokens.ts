import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { createEmbedTokens, type EmbedTokens } from '../src/auth/embed-tokens.ts'

declare module 'fastify' {
  interface FastifyInstance {
    embedTokens: EmbedTokens
  }
}

/** The tokens of pages, for whoever has to know them before anybody is identified. */
export default fp(
  async function embedTokens(app: FastifyInstance) {
    app.decorate('embedTokens', createEmbedTokens(app.parts.jwtSecret))
  },
  { name: 'embed-tokens', dependencies: ['configuration'] }
)
