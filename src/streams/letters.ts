import { type ErrorCode, isErrorCode } from '../errors.ts'
import type { Question } from './question.ts'

/** What processes write to each other about a stream that one of them runs and another one's client follows. */
export const LETTERS = {
  /** To all: who has this stream? */
  ask: 'stream-ask',
  /** From the one that has it, in order. */
  reply: 'stream-reply',
  /** To the one that has it: the client is still there, or it is not. */
  stay: 'stream-stay',
  leave: 'stream-leave'
} as const

export interface Ask {
  /** Names this conversation. */
  id: string
  /** The process to reply to. */
  from: string
  question: Question
}

/**
 * `taken`: the stream is here, frames will follow; also the answer to each `stay`. `nothing`: the client has all of it.
 * `end`: that was the last frame. `cut`: no more from here. `refused`: there is no stream, or no more room to follow it.
 */
export interface Reply {
  id: string
  from: string
  /** 0, 1, 2 … within the conversation: one that is missing was lost. */
  number: number
  kind: 'taken' | 'frames' | 'nothing' | 'end' | 'cut' | 'refused'
  text?: string
  code?: string
}

/** How often the one who asked says that the client is still there, and how long silence is believed. */
export const STAY_MS = 3_000
export const SILENT_MS = 10_000

/** The code of a refusal, as far as this version knows it. */
export function codeOf({ code }: Reply): ErrorCode {
  return isErrorCode(code) ? code : 'internal_error'
}
