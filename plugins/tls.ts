import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { type KeyPair, validityProblem } from '../src/tls.ts'

/** A new certificate is in use after two of these at the latest. */
const REREAD_MS = 1000
/** What a slow reader gets at shutdown to read the end of its reply. */
const LINGER_MS = 2000

/** With TLS at the edge: the certificate is read again when it changes, and HTTP/2 connections end with the process. */
export default fp(
  async function tls(app: FastifyInstance) {
    const { tls: edge } = app.parts
    if (!edge) return
    let told: string | undefined
    const checkDates = (pair: KeyPair) => {
      const problem = validityProblem(pair, app.clock.now())
      if (problem !== undefined && problem !== told) app.log.warn({ validTo: new Date(pair.validToAt) }, problem)
      told = problem
    }
    checkDates(edge.files.current)
    app.lifecycle.every(REREAD_MS, 'certificate', async function rereadCertificate() {
      try {
        const pair = await edge.files.reread()
        if (pair) {
          edge.use(pair)
          app.log.info({ validTo: new Date(pair.validToAt) }, 'certificate read again')
        }
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        app.log.error({ reason }, 'certificate not read again, the one in use stays')
      }
      checkDates(edge.files.current)
    })
    app.server.on('tlsClientError', ({ code }: NodeJS.ErrnoException) => app.log.debug({ code }, 'no TLS handshake'))
    // After the runs have ended, which lifecycle waits for, and before the server waits for its connections.
    app.addHook('preClose', async function closeSessions() {
      await edge.close(LINGER_MS)
    })
  },
  { name: 'tls', dependencies: ['configuration', 'lifecycle'] }
)
