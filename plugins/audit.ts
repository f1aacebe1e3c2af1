import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type AuditEntry, type AuditLog, createAuditLog } from '../src/admin/audit.ts'
import { identityOf } from '../src/auth/identity.ts'
import type { Append } from '../src/store/port.ts'

declare module 'fastify' {
  interface FastifyInstance {
    auditLog: AuditLog
    /** Records a change made by the caller of this request; members named like a secret are left out. */
    audit(request: FastifyRequest, entry: AuditEntry): Promise<void>
    /** The same as part of the write that makes the change, so that neither is there without the other. */
    auditWith(request: FastifyRequest, entry: Omit<AuditEntry, 'key'>): Append
  }
}

/** Who changed what: the record of every change made through /admin. */
export default fp(
  async function audit(app: FastifyInstance) {
    const log = createAuditLog({ store: app.store, clock: app.clock, ids: app.ids })
    app.decorate('auditLog', log)
    const contextOf = (request: FastifyRequest) => ({ actorId: identityOf(request).userId, requestId: request.id })
    app.decorate('audit', async function record(request: FastifyRequest, entry: AuditEntry) {
      await log.record({ ...entry, ...contextOf(request) })
    })
    app.decorate('auditWith', (request, entry) => log.append({ ...entry, ...contextOf(request) }))
  },
  { name: 'audit', dependencies: ['configuration', 'store', 'auth'] }
)
