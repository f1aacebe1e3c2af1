import type { FastifyInstance, onRequestAsyncHookHandler, onRequestHookHandler, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { embedTokenOf } from '../src/auth/embed-path.ts'
import { identityOf, type Scope } from '../src/auth/identity.ts'
import { isWithin, requireScope } from '../src/auth/scopes.ts'
import { AppError } from '../src/errors.ts'

/**
 * Who may use a route. `prediction` is `user` plus, in this order, the rate limit, the grant, the session fence,
 * the files and the credit hold: the steps in front of everything that reaches Flowise and costs credits. `upsert` is the
 * same for documents, which are of no session.
 */
export type Access = 'public' | 'user' | 'admin' | 'prediction' | 'upsert'

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access
    /** What an API key or embed token needs for it, one of these; absent: none will do. */
    scope?: Scope | readonly Scope[]
  }
}

type Hooks = RouteOptions['preHandler']
type Hook = onRequestHookHandler | onRequestAsyncHookHandler

/**
 * Puts the hooks of its access level on every route, and refuses to start when a route declares none. What is no route
 * is refused before its body is read: nobody listens there, so nothing about the body can be wrong.
 */
export default fp(
  async function guard(app: FastifyInstance) {
    app.addHook('onRequest', function refuseUnknown(request, _reply, done) {
      done(request.is404 ? new AppError('not_found') : undefined)
    })
    app.addHook('onRequest', function refuseOutsideEmbed(request, _reply, done) {
      if (embedTokenOf(request.raw) === undefined) return done()
      const isOffered = isWithin(['embed'], request.routeOptions.config.scope)
      done(isOffered ? undefined : new AppError('not_found'))
    })
    const checkScope: onRequestHookHandler = function checkScope(request, _reply, done) {
      const { key } = identityOf(request)
      if (key !== null) requireScope(key, request.routeOptions.config.scope)
      done()
    }
    const seen: { url: string; route: RouteOptions; guardedAs: Access | undefined }[] = []
    app.addHook('onRoute', function guardRoute(route) {
      const access = route.config?.access
      seen.push({ url: `${String(route.method)} ${route.url}`, route, guardedAs: access })
      if (access === undefined || access === 'public') return
      const onRequest: Hook[] = [app.authenticate, checkScope, app.limitKey, app.limitArrivals]
      if (access === 'admin') onRequest.push(app.requireAdmin)
      if (access === 'prediction' || access === 'upsert') onRequest.push(app.refuseWhileDraining, app.limitPredictions)
      route.onRequest = [...onRequest, ...asList(route.onRequest)] as typeof route.onRequest & object
      if (access === 'prediction')
        route.preHandler = [
          ...asList(route.preHandler),
          app.requireGrant,
          app.openExchange,
          app.checkFiles,
          app.holdCredits
        ]
      if (access === 'upsert')
        route.preHandler = [...asList(route.preHandler), app.requireGrant, app.openUpsert, app.holdCredits]
    })
    app.addHook('onReady', async function checkRoutes() {
      for (const { url, route, guardedAs } of seen) {
        const access = route.config?.access
        if (access === undefined) throw new Error(`Route ${url} declares no config.access.`)
        if (access !== 'public' && access !== guardedAs)
          throw new Error(`Route ${url} changed its access after it was guarded.`)
      }
    })
  },
  {
    name: 'guard',
    dependencies: [
      'auth',
      'rate-limit',
      'arrivals',
      'lifecycle',
      'permissions',
      'exchange',
      'attachments',
      'upsert',
      'credits'
    ]
  }
)

function asList(hooks: Hooks): never[] {
  if (hooks === undefined) return []
  return (Array.isArray(hooks) ? hooks : [hooks]) as never[]
}
