import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { identityOf } from '../../../../src/auth/identity.ts'
import { AdminUser, userView } from '../../../../src/auth/user-view.ts'
import { AppError } from '../../../../src/errors.ts'
import { Email, Members, Message, responses, Type } from '../../../../src/schema.ts'

const Reply = Members({ status: Type.Literal('success'), message: Message, user_details: AdminUser })

/** Finding a user by e-mail, as the auth service knows them now; without one there is nobody else to ask. */
export default (async function adminUserSync(app) {
  app.post(
    '/users/sync-by-email',
    {
      config: { access: 'admin' },
      schema: {
        operationId: 'admin.users.syncByEmail',
        summary: 'Find a user by e-mail address; an auth service is asked, and the user updated',
        tags: ['admin'],
        security: [{ bearer: [] }],
        body: Members({ email: Email }),
        response: responses(Reply, 400, 401, 403, 404, 413, 415, 422, 503)
      }
    },
    async function syncByEmail(request) {
      const { email } = request.body
      const known = await app.users.findByEmail(email)
      const user = await app.directory.current(identityOf(request)).findByEmail(email)
      if (user === undefined) throw new AppError('user_not_found')
      const [before, after] = [known ? userView(known) : null, userView(user)]
      if (JSON.stringify(before) !== JSON.stringify(after))
        await app.audit(request, { action: 'user.sync', target: user.id, before, after })
      return { status: 'success' as const, message: 'The user is known here.', user_details: after }
    }
  )
} satisfies FastifyPluginAsyncTypebox)
