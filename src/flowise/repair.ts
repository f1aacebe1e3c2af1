import { type Clock, pause } from '../clock.ts'
import type { FlowiseClient } from './client.ts'
import type { Frame } from './frame.ts'
import { isRecord } from './json.ts'

/** Flowise can write an answer down a moment after it has told of it. */
const SECOND_LOOK_MS = 500

export interface RepairOptions {
  client: Pick<FlowiseClient, 'messageText'>
  clock: Clock
  chatflowId: string
}

/** Finds the text of a run that has streamed none of it, although Flowise says that it has stored an answer. */
export interface Repair {
  /** Remembers what the latest node of an agentflow has put out. */
  note(frame: Frame): void
  /** The text as stored, looked for twice, else what the latest node put out; undefined if there is none anywhere. */
  find(chatMessageId: string): Promise<string | undefined>
}

/** The repair of one run. */
export function createRepair({ client, clock, chatflowId }: RepairOptions): Repair {
  let executedText: string | undefined

  async function stored(chatMessageId: string): Promise<string | undefined> {
    return client.messageText(chatflowId, chatMessageId).catch(() => undefined)
  }

  return {
    note({ event, data }) {
      if (event === 'agentFlowExecutedData') executedText = textOfExecution(data)
    },
    async find(chatMessageId) {
      const text = await stored(chatMessageId)
      if (text) return text
      await pause(clock, SECOND_LOOK_MS)
      return (await stored(chatMessageId)) || executedText
    }
  }
}

/** What the last node of an execution put out, which is what Flowise takes for the answer. */
function textOfExecution(executedData: unknown): string | undefined {
  const last = Array.isArray(executedData) ? executedData.at(-1) : undefined
  const output = isRecord(last) && isRecord(last.data) ? last.data.output : undefined
  const content = isRecord(output) ? output.content : undefined
  return typeof content === 'string' && content.trim() !== '' ? content : undefined
}
