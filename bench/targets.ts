import { type FlowName, flows } from './flows.ts'

/** One connection's request. */
export interface Lane {
  headers: Record<string, string>
  body: string
}

export interface Requests {
  url: string
  /** One per connection. */
  lanes: Lane[]
}

/** Whose requests are understood: the gateway's own, or Flowise's. */
export type Form = 'gateway' | 'flowise'

export interface Target {
  /** Base URL. */
  url: string
  form: Form
  /** Access tokens, spread over the connections; none where nobody asks for one. */
  tokens: readonly string[]
}

export interface Wanted {
  flow: FlowName
  isStream: boolean
  connections: number
  /** Each connection goes on with one session; otherwise every request begins a new one. */
  keepsSession?: boolean
}

const QUESTION = 'What does the gateway hold before it asks, and what happens to it when the answer has arrived?'

/** The same prediction for every candidate, in the form it understands. */
export function requestsFor({ url, form, tokens }: Target, wanted: Wanted): Requests {
  const { id } = flows[wanted.flow]
  const path = form === 'gateway' ? '/api/v1/chat/predict' : `/api/v1/prediction/${id}`
  const lanes = Array.from({ length: wanted.connections }, (_, index) => {
    const token = tokens[index % tokens.length]
    const session = wanted.keepsSession ? `bench-session-${index}` : undefined
    const body =
      form === 'gateway'
        ? { chatflow_id: id, question: QUESTION, streaming: wanted.isStream, sessionId: session }
        : { question: QUESTION, streaming: wanted.isStream, chatId: session }
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` }
    return { headers: { 'content-type': 'application/json', ...authorization }, body: JSON.stringify(body) }
  })
  return { url: `${url}${path}`, lanes }
}
