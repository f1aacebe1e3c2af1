import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type AuditEntry, type AuditLog, createAuditLog } from '../src/admin/audit.ts'
import { identityOf } from '../src/auth/identity.ts'

declare module 'fastify' {
  interface FastifyInstance {
    auditLog: AuditLog
    /** Records a change made by the caller of this request; members named like a secret are left out. */
    audit(request: FastifyRequest, entry: AuditEntry): Promise<void>
  }
}

/** Who changed what: the record of every change made through /admin. */
export default fp(
  async function audit(app: FastifyInstance) {
    const log = createAuditLog({ store: app.store, clock: app.clock, ids: app.ids })
    app.decorate('auditLog', log)
    app.decorate('audit', async function record(request: FastifyRequest, entry: AuditEntry) {
      await log.record({ ...entry, actorId: identityOf(request).userId, requestId: request.id })
    })
  },
  { name: 'audit', dependencies: ['configuration', 'store', 'auth'] }
)
