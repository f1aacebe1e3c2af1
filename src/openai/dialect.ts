import type { Dialect, ReceiptView } from '../flowise/dialect.ts'
import type { CompletionReply } from './schemas.ts'

/** Tokens as the flow reported them. */
interface Tokens {
  readonly input?: number
  readonly output?: number
  readonly total: number
}

/** What every chunk of one answer says, and a reply in one piece too. */
export interface CompletionIds {
  /** As it was asked for. */
  model: string
  messageId: string
  sessionId: string
  /** Epoch ms. */
  createdAt: number
}

export interface DialectOptions extends CompletionIds {
  includeUsage: boolean
  /** Asked at the end: what the run has used by then. */
  usage: () => CompletionReply['usage']
  /** The body of an error. */
  errorOf: (code: Parameters<Dialect['fail']>[0]['code']) => object
}

/** Chunks of a chat completion. A stream that fails has an error as its last event and no `[DONE]`. */
export function createOpenAiDialect(options: DialectOptions): Dialect {
  const { includeUsage, usage, errorOf, messageId, sessionId } = options
  const frame = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`
  const head = headOf(options, 'chat.completion.chunk')
  const chunk = (delta: object, finishReason: string | null = null, more: object = {}) =>
    frame({
      ...head,
      choices: [{ index: 0, delta, logprobs: null, finish_reason: finishReason }],
      // Every chunk but the last says null, as OpenAI's do.
      ...(includeUsage ? { usage: null } : {}),
      ...more
    })

  function succeed(receipt: ReceiptView): string {
    const used = includeUsage ? usage() : undefined
    const last = used ? frame({ ...head, choices: [], usage: used }) : ''
    return `${chunk({}, 'stop', { gateway: gatewayOf({ messageId, sessionId }, receipt) })}${last}data: [DONE]\n\n`
  }

  return {
    ping: ': ping\n',
    open: () => chunk({ role: 'assistant', content: '', refusal: null }),
    event(name, json) {
      const text: unknown = name === 'token' ? JSON.parse(json).data : ''
      return typeof text === 'string' && text !== '' ? chunk({ content: text }) : ''
    },
    succeed,
    stop: succeed,
    fail: ({ code }, receipt) => frame({ ...errorOf(code), gateway: gatewayOf({ messageId, sessionId }, receipt) })
  }
}

/** The reply in one piece. */
export function completionReply(
  ids: CompletionIds,
  { text, receipt, usage }: { text: string; receipt: ReceiptView; usage: CompletionReply['usage'] }
): CompletionReply {
  return {
    ...headOf(ids, 'chat.completion'),
    choices: [
      { index: 0, message: { role: 'assistant', content: text, refusal: null }, logprobs: null, finish_reason: 'stop' }
    ],
    ...(usage ? { usage } : {}),
    gateway: gatewayOf(ids, receipt)
  }
}

/** Tokens as OpenAI counts them; absent where the flow reported none. What it does not tell apart counts as prompt. */
export function usageOf(tokens: Tokens | undefined): CompletionReply['usage'] {
  if (tokens === undefined) return undefined
  const { input, output, total } = tokens
  const completion = output ?? Math.max(0, total - (input ?? total))
  return { prompt_tokens: input ?? Math.max(0, total - completion), completion_tokens: completion, total_tokens: total }
}

function headOf<T extends string>({ model, messageId, createdAt }: CompletionIds, object: T) {
  return { id: `chatcmpl-${messageId}`, object, created: Math.floor(createdAt / 1000), model }
}

function gatewayOf({ sessionId, messageId }: Pick<CompletionIds, 'sessionId' | 'messageId'>, receipt: ReceiptView) {
  return { session_id: sessionId, message_id: messageId, ...receipt }
}
