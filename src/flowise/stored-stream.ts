import { type ErrorCode, isErrorCode } from '../errors.ts'
import type { MessageRow } from '../store/collections.ts'
import { createGatewayDialect, type ReceiptView } from './dialect.ts'
import { createFrame } from './frame.ts'

/**
 * Ids of a stored answer go on here behind the first: whoever comes back with one of them, or with one of the stream
 * that it was, is never taken for having what it has not.
 */
export const REPLAYED_FROM = 1_000_000_001

export interface StoredStreamOptions {
  message: MessageRow
  requestId: string
  /** What is still known of the money. */
  receipt: Partial<ReceiptView>
  statusOf: (code: ErrorCode) => number
}

/** An answer of the history as the stream that it was: its text in one token, and how it ended as far as that is known. */
export function storedStream(options: StoredStreamOptions): { text: string; lastId: number } {
  const { message, requestId, receipt, statusOf } = options
  const { id: messageId, sessionId, chatflowId, content } = message
  const dialect = createGatewayDialect({ sessionId, chatflowId, messageId, requestId }, REPLAYED_FROM)
  const opening = dialect.open()
  const token = content === '' ? '' : dialect.event('token', createFrame('token', content).json)
  const code = failureOf(message)
  const closing =
    code === undefined ? dialect.succeed(receipt) : dialect.fail({ code, status: statusOf(code) }, receipt)
  return { text: opening + token + closing, lastId: REPLAYED_FROM + (content === '' ? 1 : 2) }
}

/** One that nobody completes any more ended with its process. */
function failureOf({ code, part }: MessageRow): ErrorCode | undefined {
  if (part !== undefined) return 'upstream_incomplete'
  return isErrorCode(code) ? code : undefined
}
