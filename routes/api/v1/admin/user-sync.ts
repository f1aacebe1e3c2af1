import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { AdminUser, userView } from '../../../../src/auth/user-view.ts'
import { AppError } from '../../../../src/errors.ts'
import { Email, Members, Message, responses, Type } from '../../../../src/schema.ts'

const Reply = Members({ status: Type.Literal('success'), message: Message, user_details: AdminUser })

/** Finding a user by e-mail; with users kept here there is nobody else to ask. */
export default (async function adminUserSync(app) {
  app.post(
    '/users/sync-by-email',
    {
      config: { access: 'admin' },
      schema: {
        operationId: 'admin.users.syncByEmail',
        summary: 'Find a user by e-mail address',
        tags: ['admin'],
        security: [{ bearer: [] }],
        body: Members({ email: Email }),
        response: responses(Reply, 400, 401, 403, 404, 413, 415, 422, 503)
      }
    },
    async function syncByEmail(request) {
      const user = await app.users.findByEmail(request.body.email)
      if (user === undefined) throw new AppError('user_not_found')
      return { status: 'success' as const, message: 'The user is known here.', user_details: userView(user) }
    }
  )
} satisfies FastifyPluginAsyncTypebox)
