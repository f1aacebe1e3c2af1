/** What a demo chatflow is asked. */
export interface DemoTurn {
  question: string
  /** The question before this one in the same session. */
  previousQuestion: string | undefined
}

/** One event of an answer, and how long the model "thinks" before it. */
export interface DemoStep {
  waitMs: number
  event: string
  data: unknown
}

export interface DemoAnswer {
  text: string
  steps: DemoStep[]
  /** Members that only the JSON form has. */
  extras?: Record<string, unknown>
  /** Set if the run fails after its steps. */
  failure?: string
}

export interface DemoFlow {
  id: string
  name: string
  category: string
  type: 'CHATFLOW' | 'AGENTFLOW'
  isStreamable: boolean
  starterPrompts: string[]
  answer: (turn: DemoTurn) => DemoAnswer
}

/** Ids of the demo's chatflows: constants, so that examples and grants survive a restart. */
export const DEMO_IDS = {
  echo: '0ec4a1f0-5b1e-4d58-9a57-3f0c8d1e2a01',
  storyteller: '57041a5c-2f6d-4a3b-8f1c-6b7e9d0c3b02',
  report: '4e904710-8c2a-4f7e-b3d9-1a5f6c7b8d03',
  research: 'a6e17000-9d3b-4c8f-a4ea-2b6a7d8c9e04',
  fragile: 'f4a61e00-7e4c-4b9a-95fb-3c7b8e9dad05'
} as const

/** The chatflows of the demo, one for each way a real one behaves. */
export const DEMO_FLOWS: readonly DemoFlow[] = [
  {
    id: DEMO_IDS.echo,
    name: 'Echo',
    category: 'Demo',
    type: 'CHATFLOW',
    isStreamable: true,
    starterPrompts: ['Hello there', 'What did I say before?'],
    answer: (turn) => spoken(echo(turn), 25)
  },
  {
    id: DEMO_IDS.storyteller,
    name: 'Storyteller',
    category: 'Demo',
    type: 'CHATFLOW',
    isStreamable: true,
    starterPrompts: ['Tell me a story'],
    answer: () => spoken(STORY, 80)
  },
  {
    id: DEMO_IDS.report,
    name: 'Report',
    category: 'Demo',
    type: 'CHATFLOW',
    isStreamable: false,
    starterPrompts: ['Report on last month'],
    answer: ({ question }) => {
      const text = `Report on "${question}": everything is as it should be.`
      const followUpPrompts = JSON.stringify(JSON.stringify(['Why is that so?', 'And the month before?']))
      return {
        text,
        steps: [{ waitMs: 150, event: 'token', data: text }],
        extras: { sourceDocuments: SOURCES, followUpPrompts }
      }
    }
  },
  {
    id: DEMO_IDS.research,
    name: 'Research agent',
    category: 'Demo',
    type: 'AGENTFLOW',
    isStreamable: true,
    starterPrompts: ['Find out what a gateway is'],
    answer: research
  },
  {
    id: DEMO_IDS.fragile,
    name: 'Fragile',
    category: 'Demo',
    type: 'CHATFLOW',
    isStreamable: true,
    starterPrompts: ['Try anything'],
    answer: () => ({
      ...spoken('This answer will break', 25),
      failure: '401 Incorrect API key provided: demo-model-key'
    })
  }
]

const STORY =
  `Once there was a small lighthouse that nobody needed any more. The ships had learnt to find their way without it, and so
every evening it lit the sea for the fish. One night a storm took the stars away. A single boat, older than the lighthouse,
saw the light, came home, and stayed. Since then two of them keep the night company.`.replaceAll('\n', ' ')

const SOURCES = [
  { pageContent: 'All figures are within their usual range.', metadata: { source: 'figures.txt', line: 12 } }
]

function echo({ question, previousQuestion }: DemoTurn): string {
  if (!/^(what did i (say|ask)|repeat)/i.test(question.trim())) return question
  return previousQuestion === undefined
    ? 'You have not said anything before.'
    : `Before that you said: ${previousQuestion}`
}

function spoken(text: string, waitMs: number): DemoAnswer {
  const tokens = words(text).map((word) => ({ waitMs, event: 'token', data: word }))
  return { text, steps: [{ waitMs, event: 'start', data: '' }, ...tokens] }
}

function words(text: string): string[] {
  return text.match(/\s*\S+\s*/g) ?? [text]
}

/** An agentflow, with all the inside that a real one shows: prompts, keys, chat history. */
function research({ question }: DemoTurn): DemoAnswer {
  const text = `I looked into "${question}" and found that it is best asked twice.`
  const usage = { input_tokens: 42, output_tokens: words(text).length, total_tokens: 42 + words(text).length }
  const start = node('startAgentflow_0', 'Start', { input: { question }, output: { question } }, [])
  const model = { modelName: 'demo-1', basepath: 'http://model.internal/v1', openAIApiKey: 'demo-model-key' }
  const messages = [
    { role: 'system', content: 'You are the secret system prompt of the demo.' },
    { role: 'user', content: question }
  ]
  const llm = node(
    'llmAgentflow_0',
    'Researcher',
    {
      input: { messages, llmModelConfig: model },
      output: { content: text, usageMetadata: usage },
      chatHistory: messages
    },
    ['startAgentflow_0']
  )
  const step = (event: string, data: unknown, waitMs = 0): DemoStep => ({ waitMs, event, data })
  const next = ({ nodeId, nodeLabel }: ReturnType<typeof node>, status: string): DemoStep =>
    step('nextAgentFlow', { nodeId, nodeLabel, status })
  const steps = [
    step('agentFlowEvent', 'INPROGRESS'),
    next(start, 'INPROGRESS'),
    next(start, 'FINISHED'),
    step('agentFlowExecutedData', [start]),
    next(llm, 'INPROGRESS'),
    ...words(text).map((word) => step('token', word, 40)),
    step('calledTools', []),
    step('usageMetadata', usage),
    next(llm, 'FINISHED'),
    step('agentFlowExecutedData', [start, llm]),
    step('agentFlowEvent', 'FINISHED')
  ]
  return { text, steps, extras: { agentFlowExecutedData: [start, llm] } }
}

function node(nodeId: string, nodeLabel: string, inside: Record<string, unknown>, previousNodeIds: string[]) {
  const data = { id: nodeId, name: nodeId.split('_')[0], ...inside, state: {} }
  return { nodeId, nodeLabel, data, previousNodeIds, status: 'FINISHED' }
}

/** Nodes that have a picture. */
export const DEMO_NODES: readonly string[] = ['startAgentflow', 'llmAgentflow', 'chatOpenAI']

/** What files its chatflows take: none. */
export const DEMO_UPLOADS = {
  isSpeechToTextEnabled: false,
  isImageUploadAllowed: false,
  isRAGFileUploadAllowed: false,
  imgUploadSizeAndTypes: [],
  fileUploadSizeAndTypes: []
}

/** The row that a real Flowise lists for a chatflow: with the graph, prompts and keys included. */
export function demoRow(flow: DemoFlow): Record<string, unknown> {
  const inputs = {
    systemMessagePrompt: 'You are the secret system prompt of the demo.',
    openAIApiKey: 'demo-model-key'
  }
  const model = { id: 'chatOpenAI_0', type: 'customNode', data: { name: 'chatOpenAI', inputs } }
  const start = {
    id: 'startAgentflow_0',
    type: 'agentFlow',
    data: { name: 'startAgentflow', inputs: { startInputType: 'chatInput', startState: inputs } }
  }
  const graph = { nodes: flow.type === 'AGENTFLOW' ? [start, model] : [model], edges: [] }
  return {
    id: flow.id,
    name: flow.name,
    flowData: JSON.stringify(graph),
    deployed: true,
    isPublic: false,
    apikeyid: null,
    chatbotConfig: JSON.stringify(demoConfig(flow)),
    apiConfig: null,
    analytic: null,
    category: flow.category,
    type: flow.type,
    createdDate: '2026-01-01T00:00:00.000Z',
    updatedDate: '2026-01-01T00:00:00.000Z',
    workspaceId: 'd0000000-0000-4000-8000-000000000000'
  }
}

/** What its public configuration says, before Flowise adds the graph. */
export function demoConfig(flow: DemoFlow): Record<string, unknown> {
  const prompts = flow.starterPrompts.map((prompt, index) => [String(index), { prompt }])
  return {
    title: flow.name,
    welcomeMessage: `This is ${flow.name}, a demo.`,
    starterPrompts: Object.fromEntries(prompts)
  }
}
