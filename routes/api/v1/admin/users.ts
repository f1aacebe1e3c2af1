import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { identityOf } from '../../../../src/auth/identity.ts'
import { AdminUser, userView } from '../../../../src/auth/user-view.ts'
import { Email, Id, Members, Message, PageQuery, PageReply, problems, responses, Type } from '../../../../src/schema.ts'
import { decodeCursor, toPage } from '../../../../src/store/cursor.ts'

const Params = Members({ id: Id })
const Role = Type.String({ maxLength: 50, description: 'admin, premium or user, in any case; other words mean user' })
const Password = Type.String({ maxLength: 1024, description: '8 characters to 72 bytes' })
const Username = Type.String({ maxLength: 254, description: '3 to 50 characters of A-Z a-z 0-9 _ . @ -' })

const NewUser = Members({
  username: Username,
  email: Email,
  password: Password,
  role: Type.Optional(Role),
  credits: Type.Optional(
    Type.Number({ minimum: 0, maximum: 1_000_000_000, description: 'granted on top of the default' })
  )
})

const UserPatch = Members({
  email: Type.Optional(Email),
  role: Type.Optional(Role),
  is_active: Type.Optional(Type.Boolean()),
  password: Type.Optional(Password)
})

const UserPage = Type.Object({ users: Type.Array(AdminUser), ...PageReply })
const Search = Members({
  q: Type.Optional(Type.String({ maxLength: 254, description: 'start of the username or e-mail, in any case' })),
  ...PageQuery
})

const config = { access: 'admin' } as const
const common = { tags: ['admin'], security: [{ bearer: [] }] }

/** The users of the gateway. */
export default (async function userRoutes(app) {
  app.get(
    '/users',
    {
      config,
      schema: {
        ...common,
        operationId: 'users.list',
        summary: 'List users, oldest first',
        querystring: Search,
        response: responses(UserPage, 401, 403, 422, 503)
      }
    },
    async function listUsers(request) {
      const { q, limit = 50, cursor } = request.query
      const after = decodeCursor(cursor, 'number')
      const rows = await app.users.list({ prefix: q ?? '', ...(after ? { after } : {}), limit: limit + 1 })
      const { items, ...tail } = toPage(rows, limit, (row) => row.createdAt)
      return { users: items.map(userView), ...tail }
    }
  )

  app.get(
    '/users/:id',
    {
      config,
      schema: {
        ...common,
        operationId: 'users.get',
        summary: 'One user',
        params: Params,
        response: responses(AdminUser, 401, 403, 404, 503)
      }
    },
    async (request) => userView(await app.userAdmin.get(request.params.id))
  )

  app.post(
    '/users',
    {
      config,
      schema: {
        ...common,
        operationId: 'users.create',
        summary: 'Create a user, with an opened credit account',
        body: NewUser,
        response: { 201: AdminUser, ...problems(400, 401, 403, 409, 413, 415, 422, 503) }
      }
    },
    async function createUser(request, reply) {
      const { credits = 0 } = request.body
      const user = await app.userAdmin.create(request.body, identityOf(request).userId, ({ id: target, after }) => [
        app.auditWith(request, {
          action: 'user.create',
          target,
          before: null,
          after: after && { ...userView(after), credits }
        })
      ])
      return reply.code(201).send(userView(user))
    }
  )

  app.patch(
    '/users/:id',
    {
      config,
      schema: {
        ...common,
        operationId: 'users.update',
        summary: 'Change a user; a new password ends all sessions of theirs',
        params: Params,
        body: UserPatch,
        response: responses(AdminUser, 400, 401, 403, 404, 409, 413, 415, 422, 503)
      }
    },
    async function updateUser(request) {
      const user = await app.userAdmin.update(request.params.id, request.body, ({ id: target, changed }) => [
        app.auditWith(request, { action: 'user.update', target, ...changed })
      ])
      return userView(user)
    }
  )

  app.delete(
    '/users/:id',
    {
      config,
      schema: {
        ...common,
        operationId: 'users.delete',
        summary: 'Delete a user with sessions, grants and tokens; the ledger stays',
        params: Params,
        response: responses(Type.Object({ message: Message, user_id: Type.String() }), 401, 403, 404, 409, 503)
      }
    },
    async function deleteUser(request) {
      const { id } = request.params
      await app.userAdmin.remove(id, ({ before }) => [
        app.auditWith(request, { action: 'user.delete', target: id, before: before && userView(before), after: null })
      ])
      return { message: 'User deleted.', user_id: id }
    }
  )
} satisfies FastifyPluginAsyncTypebox)
