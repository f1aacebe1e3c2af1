import FlowiseSdk from 'flowise-sdk'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import type { ClientGateway } from './gateway.ts'

/** The one client of these tests. */
export const SDK = 'flowise-sdk'

export interface SdkEvent {
  event: string
  data: unknown
}

type Target = Pick<ClientGateway, 'url' | 'apiKey'>

export interface Question {
  chatflowId?: string
  question?: string
  chatId?: string
  uploads?: { type: string; name: string; mime: string; data: string }[]
}

/** A client as its README makes one. */
export function sdkOf({ url, apiKey }: Target) {
  return new FlowiseSdk.FlowiseClient({ baseUrl: url, apiKey })
}

/** What an answer in one piece resolves with. */
export function asked(target: Target, question: Question = {}): Promise<Record<string, unknown>> {
  return sdkOf(target).createPrediction({ chatflowId: DEMO_IDS.echo, question: 'hi', ...question })
}

/** Every event of a streamed answer; `onEvent` is called as they come. */
export async function streamed(
  target: Target,
  question: Question = {},
  onEvent: (event: SdkEvent) => void = () => {}
): Promise<SdkEvent[]> {
  const events: SdkEvent[] = []
  const data = { chatflowId: DEMO_IDS.echo, question: 'hi', ...question, streaming: true } as const
  for await (const event of await sdkOf(target).createPrediction(data)) {
    events.push(event)
    onEvent(event)
  }
  return events
}
