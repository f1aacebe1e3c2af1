import { Credits, Cursor, Id, Instant, Members, Message, Nullable, Type } from '../schema.ts'

const Text = Type.String({ description: 'as Flowise has it' })
const Amount = Type.Number({ minimum: 0, maximum: 1_000_000_000, description: 'credits, at most six decimals' })
const Name = Type.String({ minLength: 1, maxLength: 128 })
const Names = (description: string) => Nullable(Type.Array(Name, { maxItems: 200, description }))

/** Query of the lists that are bare arrays; the next page is in the Link header. */
export const ArrayQuery = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 1000 })),
  cursor: Type.Optional(Cursor)
}

/** Path member; what is malformed is simply unknown. */
export const ChatflowParams = Type.Object({
  chatflow_id: Type.String({ examples: ['f0f9c1b2-5a1e-4d57-9d4c-1f4c9b0d7e11'] })
})

const shown = {
  id: Id,
  name: Text,
  description: Nullable(Text),
  category: Nullable(Text),
  type: Text,
  deployed: Type.Boolean(),
  is_public: Type.Boolean(),
  price: Credits,
  assigned_at: Nullable(Instant),
  created_at: Instant,
  updated_at: Instant
}

/** A chatflow as its users see it. */
export const ChatflowBody = Members(shown)

const settings = {
  upsert_price: Nullable({
    ...Amount,
    description: 'credits per upsert, at most six decimals; null: nobody may, as all users share what is indexed'
  }),
  metered: Nullable(
    Members(
      {
        per_1k_tokens: Amount,
        per_1k_output_tokens: Type.Optional({ ...Amount, description: 'of what models write, where it differs' }),
        floor: Amount,
        ceiling: Amount
      },
      { description: 'price by tokens; null: the flat price' }
    )
  ),
  override_allow: Names('top-level keys of overrideConfig that pass; null: none'),
  alias: Nullable(
    Type.String({
      description: '1 to 64 characters of a-z 0-9 . _ -, the first a letter or a digit',
      pattern: '^[a-z0-9][a-z0-9._-]{0,63}$',
      examples: ['support']
    })
  ),
  system_messages: Nullable(
    Type.Union([Type.Literal('question'), Type.Literal('ignore'), Type.Literal('refuse')], {
      description: 'what becomes of system messages on /v1: text before the question (null too), nothing, or an error'
    })
  ),
  response_fields: Names("members of Flowise's JSON that reach the client; null: the default list"),
  stream_events: Names('Flowise events that reach the client; null: the default list'),
  allowed_origins: Nullable(
    Type.Array(Type.String({ minLength: 8, maxLength: 255, examples: ['https://shop.example.com'] }), {
      maxItems: 200,
      description: 'of the web pages that may use it with a key or an embed token; null: all'
    })
  ),
  on_disconnect: Nullable(
    Members(
      { continue_seconds: Type.Number({ minimum: 0, maximum: 600 }) },
      { description: 'how long a stream goes on without any client; null: RESUME_SECONDS where clients can come back' }
    )
  ),
  redaction: Nullable(
    Type.Union([Type.Literal('public'), Type.Literal('member'), Type.Literal('developer')], {
      description: 'for whom answers are cut; null: member. Embed tokens never get more than public'
    })
  )
}

/** A chatflow as administrators see it: never its definition. */
export const AdminChatflowBody = Members({
  ...shown,
  flowise_id: Id,
  sync_status: Type.Union([Type.Literal('active'), Type.Literal('deleted'), Type.Literal('error')]),
  sync_error: Nullable(Type.String()),
  synced_at: Instant,
  ...settings,
  assigned_users: Type.Integer()
})

/** What administrators can set; a member that is absent stays, null goes back to the default. */
export const ChatflowPatchBody = Members(
  {
    price: Type.Optional(Nullable(Amount)),
    upsert_price: Type.Optional(settings.upsert_price),
    metered: Type.Optional(settings.metered),
    override_allow: Type.Optional(settings.override_allow),
    alias: Type.Optional(settings.alias),
    system_messages: Type.Optional(settings.system_messages),
    response_fields: Type.Optional(settings.response_fields),
    stream_events: Type.Optional(settings.stream_events),
    allowed_origins: Type.Optional(settings.allowed_origins),
    redaction: Type.Optional(settings.redaction),
    on_disconnect: Type.Optional(settings.on_disconnect)
  },
  { examples: [{ price: 2.5, override_allow: ['vars'] }] }
)

/** The part of Flowise's chatbot configuration that leaves the gateway; the members are those of chatbot-config.ts. */
export const ChatbotConfigBody = Type.Unsafe<Record<string, unknown>>({
  type: 'object',
  additionalProperties: true,
  description: 'colours, texts, starter prompts and switches, as far as they are configured'
})

/** The same for Flowise's widget; the members are those of widget-config.ts. */
export const WidgetConfigBody = Type.Unsafe<Record<string, unknown>>({
  type: 'object',
  additionalProperties: true,
  description: 'the same, what may be uploaded, and in `flowData` a JSON text with the form at the start'
})

/** What files a chatflow takes, as Flowise says it. */
export const ChatflowUploadsBody = Type.Unsafe<Record<string, unknown>>({
  type: 'object',
  additionalProperties: true,
  properties: {
    isSpeechToTextEnabled: { type: 'boolean' },
    isImageUploadAllowed: { type: 'boolean' },
    isRAGFileUploadAllowed: { type: 'boolean' },
    imgUploadSizeAndTypes: { type: 'array', items: { type: 'object', additionalProperties: true } },
    fileUploadSizeAndTypes: { type: 'array', items: { type: 'object', additionalProperties: true } }
  }
})

/** What a sync did. */
export const SyncBody = Members({
  total_fetched: Type.Integer(),
  created: Type.Integer(),
  updated: Type.Integer(),
  deleted: Type.Integer(),
  errors: Type.Integer(),
  error_details: Type.Array(Members({ chatflow_id: Type.Optional(Type.String()), error: Type.String() })),
  sync_timestamp: Instant,
  message: Message
})

/** Numbers of chatflows by state. */
export const StatsBody = Members({
  total: Type.Integer(),
  active: Type.Integer(),
  deleted: Type.Integer(),
  error: Type.Integer(),
  last_sync: Nullable(Instant)
})
