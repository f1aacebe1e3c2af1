import { Email, Id, Instant, Members, Message, Nullable, Type } from '../schema.ts'

const Name = Type.String({ minLength: 1, maxLength: 254 })
const Names = (description: string) => Type.Optional(Nullable(Type.Array(Name, { maxItems: 500, description })))

const named = { user_id: Id, username: Nullable(Type.String()), email: Nullable(Type.String()) }

/** A user, named by exactly one of the members. */
export const UserNameBody = Members(
  {
    email: Type.Optional(Nullable(Email)),
    username: Type.Optional(Nullable(Name)),
    user_id: Type.Optional(Nullable(Id))
  },
  { description: 'exactly one of the three', examples: [{ email: 'alice@example.com' }] }
)

/** The same in a query, where a value is never null. */
export const UserNameQuery = Members({
  email: Type.Optional(Email),
  username: Type.Optional(Name),
  user_id: Type.Optional(Id)
})

/** Several users, together at most 500. */
export const UserNamesBody = Members({
  emails: Names('e-mail addresses'),
  usernames: Names('usernames'),
  user_ids: Names('user ids')
})

/** A user who may use a chatflow. */
export const AssignedUser = Members({ ...named, assigned_at: Instant, assigned_by: Id })

/** What an assignment did. */
export const AssignedBody = Members({
  ...named,
  status: Type.Union([Type.Literal('Assigned'), Type.Literal('Reactivated'), Type.Literal('No Action')]),
  message: Message
})

/** What the end of an assignment did. */
export const RemovedBody = Members({ ...named, status: Type.Literal('Deactivated'), message: Message })

/** The results of a bulk assignment. */
export const BulkBody = Members({
  successful_assignments: Type.Array(AssignedBody),
  failed_assignments: Type.Array(
    Members({
      email: Type.Optional(Type.String()),
      username: Type.Optional(Type.String()),
      user_id: Type.Optional(Type.String()),
      status: Type.Literal('Failed'),
      code: Type.String(),
      message: Message
    })
  ),
  message: Message
})

const Issue = Type.Union([
  Type.Literal('user_not_found'),
  Type.Literal('user_inactive'),
  Type.Literal('chatflow_deleted')
])

/** Result of an audit of grants. */
export const AuditBody = Members({
  total_assignments: Type.Integer(),
  valid_assignments: Type.Integer(),
  invalid_assignments: Type.Integer(),
  assignments_by_issue_type: Members({
    user_not_found: Type.Integer(),
    user_inactive: Type.Integer(),
    chatflow_deleted: Type.Integer()
  }),
  chatflows_affected: Type.Integer(),
  invalid_user_details: Type.Array(
    Members({
      user_id: Type.String(),
      chatflow_id: Type.String(),
      chatflow_name: Nullable(Type.String()),
      issue_type: Issue,
      details: Message,
      suggested_action: Message
    })
  ),
  recommendations: Type.Array(Type.String()),
  audit_timestamp: Instant
})

/** What a cleanup of grants is asked to do. */
export const CleanupRequestBody = Members({
  action: Type.Union([Type.Literal('deactivate_invalid'), Type.Literal('delete_invalid')]),
  chatflow_ids: Type.Optional(Nullable(Type.Array(Id, { maxItems: 1000, description: 'absent: all chatflows' }))),
  dry_run: Type.Optional(Type.Boolean({ default: true, description: 'only count' })),
  force: Type.Optional(Type.Boolean({ default: false, description: 'needed to delete' }))
})

/** Result of a cleanup of grants. */
export const CleanupBody = Members({
  total_records_processed: Type.Integer(),
  invalid_assignments: Type.Integer(),
  records_deactivated: Type.Integer(),
  records_deleted: Type.Integer(),
  errors: Type.Integer(),
  error_details: Type.Array(Members({ user_id: Type.String(), chatflow_id: Type.String(), error: Type.String() })),
  dry_run: Type.Boolean(),
  cleanup_timestamp: Instant
})
