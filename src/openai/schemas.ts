import { Credits, Id, Members, Nullable, type Static, Type } from '../schema.ts'

const optional = <T extends Parameters<typeof Nullable>[0]>(schema: T) => Type.Optional(Nullable(schema))
const Refused = (description: string) => Type.Optional(Type.Unknown({ description }))

const Part = Members({
  type: Type.String({ maxLength: 32, description: 'text, image_url, file or refusal' }),
  text: optional(Type.String()),
  refusal: optional(Type.String()),
  image_url: Type.Optional(Type.Unknown({ description: '`{url}` with a data: URL; the gateway fetches nothing' })),
  file: optional(
    Members({
      file_data: optional(Type.String({ description: 'a data: URL' })),
      file_id: optional(Type.String({ maxLength: 128, description: 'of a file that was uploaded to the gateway' })),
      filename: optional(Type.String({ maxLength: 1024 }))
    })
  )
})

const ChatMessage = Members({
  role: Type.String({ maxLength: 32, description: 'system, developer, user or assistant' }),
  content: optional(Type.Union([Type.String(), Type.Array(Part, { maxItems: 200 })])),
  tool_calls: Refused('only none'),
  function_call: Refused('only none')
})

/** Body of POST /v1/chat/completions; what is not listed is ignored. */
export const CompletionBody = Members(
  {
    model: Type.String({
      minLength: 1,
      maxLength: 128,
      description: 'id or alias of a chatflow',
      examples: ['support']
    }),
    messages: Type.Array(ChatMessage, { minItems: 1, maxItems: 1000 }),
    stream: optional(Type.Boolean()),
    stream_options: optional(Members({ include_usage: optional(Type.Boolean()) })),
    metadata: optional(
      Members({ session_id: optional(Type.String({ maxLength: 512, description: 'as the header X-Session-Id' })) })
    ),
    n: Refused('only 1'),
    tools: Refused('only none'),
    functions: Refused('only none'),
    logprobs: Refused('only false'),
    response_format: Refused('only `{"type":"text"}`'),
    modalities: Refused('only text'),
    audio: Refused('only none'),
    web_search_options: Refused('only none')
  },
  { examples: [{ model: 'support', messages: [{ role: 'user', content: 'What is in the report?' }], stream: false }] }
)

/** Headers of POST /v1/chat/completions, besides those of every request. */
export const CompletionHeaders = Type.Object({
  'x-session-id': Type.Optional(
    Type.String({ maxLength: 512, description: 'names a conversation that is remembered; without it none is' })
  )
})

const Usage = Members({
  prompt_tokens: Type.Integer({ examples: [11] }),
  completion_tokens: Type.Integer({ examples: [4] }),
  total_tokens: Type.Integer({ examples: [15] })
})

/** What the gateway adds: where the answer is in the history, and what it cost. */
const Receipt = Members({
  session_id: Type.String(),
  message_id: Type.String(),
  credits_charged: Credits,
  credits_remaining: Type.Optional(Credits)
})

/** Reply of POST /v1/chat/completions. */
export const Completion = Members({
  id: Type.String({ examples: ['chatcmpl-d41f8c57-9e2a-4b63-a7d0-6c8e5f1b3a94'] }),
  object: Type.Literal('chat.completion'),
  created: Type.Integer({ description: 'seconds since 1970', examples: [1_769_860_800] }),
  model: Type.String({ description: 'as it was asked for', examples: ['support'] }),
  choices: Type.Array(
    Members({
      index: Type.Integer(),
      message: Members({ role: Type.Literal('assistant'), content: Type.String(), refusal: Type.Null() }),
      logprobs: Type.Null(),
      finish_reason: Type.Literal('stop')
    })
  ),
  usage: Type.Optional(Usage),
  gateway: Receipt
})

/** A chatflow as a model. */
export const ModelBody = Members({
  id: Type.String({ description: 'the alias, else the id of the chatflow', examples: ['support'] }),
  object: Type.Literal('model'),
  created: Type.Integer({ description: 'seconds since 1970', examples: [1_769_860_800] }),
  owned_by: Type.String({ examples: ['flowise'] }),
  name: Type.String(),
  chatflow_id: Id
})

/** Reply of GET /v1/models. */
export const ModelList = Members({ object: Type.Literal('list'), data: Type.Array(ModelBody) })

/** Errors as OpenAI writes them; `code` is one of the codes of every other path. */
export const OpenAiError = Type.Object(
  {
    error: Type.Object(
      {
        message: Type.String(),
        type: Type.String(),
        code: Type.String(),
        param: Nullable(Type.String({ description: 'what of the request is wrong, such as `messages[0].role`' }))
      },
      { additionalProperties: true }
    )
  },
  { $id: 'OpenAiError' }
)

/** The error half of a response map. */
export function openAiErrors(...statuses: number[]) {
  return Object.fromEntries(statuses.map((status) => [status, Type.Unsafe({ $ref: 'OpenAiError#' })]))
}

export type CompletionRequestBody = Static<typeof CompletionBody>
export type CompletionReply = Static<typeof Completion>
export type ChatMessageBody = Static<typeof ChatMessage>
export type ContentPart = Static<typeof Part>
