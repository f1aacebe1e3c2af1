import { type FlowName, flows } from './flows.ts'

/** One connection's request. */
export interface Lane {
  headers: Record<string, string>
  body: string
}

export interface Requests {
  url: string
  /** One per connection; where there are more, each request takes the next one. */
  lanes: Lane[]
  connections: number
}

/** Whose requests are understood: the gateway's own, Flowise's, or OpenAI's. */
export type Form = 'gateway' | 'flowise' | 'openai'

export interface Target {
  /** Base URL. */
  url: string
  form: Form
  /** Access tokens, spread over the connections; none where nobody asks for one. */
  tokens: readonly string[]
  /** What else it must be told. */
  headers?: Record<string, string>
}

export interface Wanted {
  flow: FlowName
  isStream: boolean
  connections: number
  /** Each connection goes on with one session; otherwise every request begins a new one. */
  keepsSession?: boolean
  /** All tokens take turns, request by request. */
  takesTurns?: boolean
}

const QUESTION = 'What does the gateway hold before it asks, and what happens to it when the answer has arrived?'
const PATHS: Record<Form, string> = {
  gateway: '/api/v1/chat/predict',
  flowise: '/api/v1/prediction/',
  openai: '/v1/chat/completions'
}

/** The same prediction for every candidate, in the form it understands. */
export function requestsFor({ url, form, tokens, headers: told = {} }: Target, wanted: Wanted): Requests {
  const { id } = flows[wanted.flow]
  const { connections, takesTurns = false } = wanted
  const lanes = Array.from({ length: takesTurns ? tokens.length : connections }, (_, index) => {
    const token = tokens[index % tokens.length]
    const session = wanted.keepsSession ? `bench-session-${index}` : undefined
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const headers = { 'content-type': 'application/json', ...authorization, ...told }
    return { headers, body: JSON.stringify(bodyOf(form, { id, isStream: wanted.isStream, session })) }
  })
  return { url: `${url}${PATHS[form]}${form === 'flowise' ? id : ''}`, lanes, connections }
}

function bodyOf(form: Form, { id, isStream, session }: { id: string; isStream: boolean; session: string | undefined }) {
  if (form === 'openai') return { model: id, stream: isStream, messages: [{ role: 'user', content: QUESTION }] }
  if (form === 'flowise') return { question: QUESTION, streaming: isStream, chatId: session }
  return { chatflow_id: id, question: QUESTION, streaming: isStream, sessionId: session }
}
