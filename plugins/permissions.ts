import type { FastifyInstance, FastifyRequest, preHandlerAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { identityOf, type KeyLimits } from '../src/auth/identity.ts'
import { requireListed } from '../src/auth/origins.ts'
import { AppError } from '../src/errors.ts'
import { type Assignments, createAssignments } from '../src/permissions/assignments.ts'
import { createGrants } from '../src/permissions/grants.ts'
import { createPermissions, type Grant, type Permissions } from '../src/permissions/permissions.ts'
import { createReview, type GrantReview } from '../src/permissions/review.ts'

declare module 'fastify' {
  interface FastifyInstance {
    permissions: Permissions
    /** What the caller of this request does with grants. */
    assignmentsBy(request: FastifyRequest): Assignments
    grantReviewBy(request: FastifyRequest): GrantReview
    requireGrant: preHandlerAsyncHookHandler
    /**
     * The same for a chatflow that the route knows by itself.
     * @throws chatflow_not_found, chatflow_forbidden, origin_forbidden
     */
    grantFor(request: FastifyRequest, chatflowId: string): Promise<Grant>
  }
  interface FastifyRequest {
    grant: Grant | null
  }
}

/** Who may use which chatflow, and the hook that asks it before anything reaches one. */
export default fp(
  async function permissions(app: FastifyInstance) {
    const { chatflows, users, clock } = app
    const grants = createGrants(app.store)
    app.decorate('permissions', createPermissions(grants, chatflows))
    app.decorate('assignmentsBy', function assignmentsBy(request: FastifyRequest) {
      const identity = identityOf(request)
      return createAssignments({
        grants,
        chatflows,
        users,
        directory: app.directory.known(identity),
        clock,
        assignedBy: identity.userId,
        record: ({ userId: user_id, chatflowId: target, isActive }) => {
          const change = { before: { user_id, is_active: !isActive }, after: { user_id, is_active: isActive } }
          return [app.auditWith(request, { action: isActive ? 'grant.assign' : 'grant.remove', target, ...change })]
        }
      })
    })
    app.decorate('grantReviewBy', function grantReviewBy(request: FastifyRequest) {
      return createReview({
        grants,
        chatflows,
        users: app.directory.current(identityOf(request)),
        clock,
        record: ({ userId: user_id, chatflowId: target, issue, isDeleted }) => {
          const after = { user_id, is_active: false, is_deleted: isDeleted, issue_type: issue }
          const change = { before: { user_id, is_active: true }, after }
          return [app.auditWith(request, { action: 'grant.cleanup', target, ...change })]
        }
      })
    })
    app.decorateRequest('grant', null)
    app.decorate('grantFor', function grantFor(request: FastifyRequest, chatflowId: string) {
      const identity = identityOf(request)
      const { key } = identity
      const grant = app.permissions.require(identity, chatflowId)
      return key === null ? grant : grant.then((granted) => fromListed(granted, key, request))
    })
    app.decorate('requireGrant', async function requireGrant(request) {
      request.grant = await app.grantFor(request, chatflowIdOf(request))
    })
  },
  { name: 'permissions', dependencies: ['configuration', 'store', 'users', 'auth', 'audit', 'chatflows'] }
)

/** The grant, where its chatflow may be asked from the page that the request comes from. */
function fromListed(grant: Grant, key: KeyLimits, request: FastifyRequest): Grant {
  requireListed(grant.chatflow.allowedOrigins ?? [], key, request)
  return grant
}

/** The chatflow a request is about: a member of the body or of the path, whichever the route has. */
function chatflowIdOf(request: FastifyRequest): string {
  // A route whose clients name it in another way has found out already.
  if (request.prediction) return request.prediction.chatflowId
  for (const part of [request.params, request.body]) {
    if (typeof part !== 'object' || part === null || !('chatflow_id' in part)) continue
    if (typeof part.chatflow_id === 'string') return part.chatflow_id
  }
  throw new AppError('chatflow_not_found')
}
