import type { ServerResponse } from 'node:http'
import type { Clock } from '../clock.ts'
import type { Ids } from '../ids.ts'
import type { DemoAnswer, DemoFlow } from './demo-flows.ts'
import type { Conversation, DemoMemory } from './demo-memory.ts'
import { createFrame } from './frame.ts'
import { isRecord } from './json.ts'

const HEARTBEAT_MS = 30_000
const PREFIX = 'Error: predictionsServices.buildChatflow - '

export interface DemoRunsOptions {
  clock: Clock
  ids: Ids
  memory: DemoMemory
  /** 1 is the pace of a model; 0 does not wait at all. */
  pace: number
}

export interface DemoRuns {
  predict(flow: DemoFlow, body: Record<string, unknown>, response: ServerResponse): Promise<void>
  /** Stops an agentflow; like the real one, it does nothing for a chatflow. */
  abort(flowId: string, chatId: string): void
  close(): void
}

/** Runs predictions the way Flowise does, its weaknesses included. */
export function createDemoRuns({ clock, ids, memory, pace }: DemoRunsOptions): DemoRuns {
  // By chatId alone: a second stream with the same one takes over what the first still has to say.
  const streams = new Map<string, ServerResponse>()
  const agents = new Map<string, AbortController>()
  const closing = new AbortController()

  return {
    async predict(flow, body, response) {
      const override = isRecord(body.overrideConfig) ? text(body.overrideConfig.sessionId) : undefined
      const chatId = text(body.chatId) ?? override ?? ids.uuid()
      const where = { chatflowid: flow.id, chatId, sessionId: override ?? chatId }
      const question = text(body.question) ?? ''
      const answer = flow.answer({ question, previousQuestion: memory.previousQuestion(where) })
      const isStream = (body.streaming === true || body.streaming === 'true') && flow.isStreamable
      if (isStream) await stream(flow, where, question, answer, response)
      else await reply(where, question, answer, response)
    },
    abort: (flowId, chatId) => agents.get(`${flowId}_${chatId}`)?.abort(),
    close: () => closing.abort()
  }

  async function reply(
    where: Conversation,
    question: string,
    answer: DemoAnswer,
    response: ServerResponse
  ): Promise<void> {
    await wait(answer.steps.reduce((sum, { waitMs }) => sum + waitMs, 0))
    if (closing.signal.aborted) return
    if (answer.failure !== undefined) return sendJson(response, 500, problem(500, PREFIX + answer.failure))
    const { chatId, sessionId } = where
    const chatMessageId = memory.store(where, question, answer.text)
    sendJson(response, 200, { text: answer.text, question, chatId, chatMessageId, sessionId, ...answer.extras })
  }

  async function stream(
    flow: DemoFlow,
    where: Conversation,
    question: string,
    answer: DemoAnswer,
    response: ServerResponse
  ): Promise<void> {
    const { chatId, sessionId } = where
    const key = `${flow.id}_${chatId}`
    const aborter = new AbortController()
    if (flow.type === 'AGENTFLOW') agents.set(key, aborter)
    streams.set(chatId, response)
    response.writeHead(200, {
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-cache',
      'X-Accel-Buffering': 'no'
    })
    response.flushHeaders()
    const stopHeartbeat = startHeartbeat(response)
    const emit = (event: string, data: unknown): void =>
      write(streams.get(chatId), `message:\ndata:${createFrame(event, data).json}\n\n`)

    for (const { waitMs, event, data } of answer.steps) {
      await wait(waitMs)
      if (aborter.signal.aborted || closing.signal.aborted) break
      emit(event, data)
    }
    if (closing.signal.aborted) return
    const failure = aborter.signal.aborted ? 'Error in LLM node: This operation was aborted' : answer.failure
    if (failure === undefined) {
      const chatMessageId = memory.store(where, question, answer.text)
      emit('metadata', { chatId, chatMessageId, question, sessionId })
    } else {
      if (flow.type === 'AGENTFLOW') emit('agentFlowEvent', 'ERROR')
      emit('error', PREFIX + failure)
    }
    emit('end', '[DONE]')
    stopHeartbeat()
    streams.get(chatId)?.end()
    streams.delete(chatId)
    agents.delete(key)
  }

  function startHeartbeat(response: ServerResponse): () => void {
    let cancel = clock.after(HEARTBEAT_MS, function beat() {
      write(response, ':heartbeat\n\n')
      cancel = clock.after(HEARTBEAT_MS, beat)
    })
    return () => cancel()
  }

  async function wait(ms: number): Promise<void> {
    if (ms * pace === 0 || closing.signal.aborted) return new Promise((resolve) => void setImmediate(resolve))
    return new Promise((resolve) => {
      const finish = (): void => {
        cancel()
        closing.signal.removeEventListener('abort', finish)
        resolve()
      }
      const cancel = clock.after(ms * pace, finish)
      closing.signal.addEventListener('abort', finish)
    })
  }
}

/** Flowise's error body. */
export function problem(statusCode: number, message: string): Record<string, unknown> {
  return { statusCode, success: false, message, stack: {} }
}

/** Answers with JSON as Express does. */
export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  if (response.destroyed) return
  response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8' }).end(JSON.stringify(body))
}

/** Flowise does not notice that a client has gone. */
function write(response: ServerResponse | undefined, bytes: string): void {
  if (response && !response.destroyed && !response.writableEnded) response.write(bytes)
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
