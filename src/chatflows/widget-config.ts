import { reduceChatbotConfig } from './chatbot-config.ts'

/** The node at which an agentflow begins; its inputs say whether the widget shows a form. */
const START = 'startAgentflow'
const START_INPUTS = ['startInputType', 'formTitle', 'formDescription'] as const
const FIELD_MEMBERS = ['type', 'label', 'name'] as const
const UPLOADS = {
  isSpeechToTextEnabled: false,
  isImageUploadAllowed: false,
  isRAGFileUploadAllowed: false,
  imgUploadSizeAndTypes: [],
  fileUploadSizeAndTypes: []
}

type Members = Record<string, unknown>

/** What Flowise's widget needs to begin: the chat window, what may be uploaded, and of the graph the form at its start. */
export function reduceWidgetConfig(config: Members): Members {
  const { fullFileUpload, flowData } = config
  return {
    ...reduceChatbotConfig(config),
    ...(isMembers(fullFileUpload)
      ? { fullFileUpload: picked(fullFileUpload, ['status', 'allowedUploadFileTypes']) }
      : {}),
    uploads: uploadsOf(config),
    // The widget parses it again.
    flowData: JSON.stringify({ nodes: startNodes(flowData), edges: [] }),
    isTTSEnabled: config['isTTSEnabled'] === true
  }
}

/** What files a chatflow takes, in Flowise's form; where it says nothing, none. */
export function uploadsOf({ uploads }: Members): Members {
  return { ...UPLOADS, ...(isMembers(uploads) ? picked(uploads, Object.keys(UPLOADS)) : {}) }
}

/** The configuration for those who may not index documents. */
export function withoutIndexing(config: Members): Members {
  return { ...config, uploads: { ...uploadsOf(config), isRAGFileUploadAllowed: false, fileUploadSizeAndTypes: [] } }
}

/** The start node with the inputs that make a form, without its state, its variables and everything behind it. */
function startNodes(flowData: unknown): Members[] {
  const nodes = graphNodes(flowData)
  const start = nodes.find(({ data }) => isMembers(data) && data['name'] === START)
  const data = start?.['data']
  if (start === undefined || !isMembers(data) || !isMembers(data['inputs'])) return []
  const { inputs } = data
  const fields = Array.isArray(inputs['formInputTypes']) ? inputs['formInputTypes'].filter(isMembers) : []
  const formInputTypes = fields.map((field) => ({
    ...picked(field, FIELD_MEMBERS),
    // The widget calls a method of it where the type is `options`, so it is always a list.
    addOptions: (Array.isArray(field['addOptions']) ? field['addOptions'] : [])
      .filter(isMembers)
      .map((option) => picked(option, ['option']))
  }))
  return [
    {
      id: typeof start['id'] === 'string' ? start['id'] : START,
      data: { name: START, inputs: { ...picked(inputs, START_INPUTS), formInputTypes } }
    }
  ]
}

function graphNodes(flowData: unknown): Members[] {
  if (typeof flowData !== 'string') return []
  try {
    const graph: unknown = JSON.parse(flowData)
    return isMembers(graph) && Array.isArray(graph['nodes']) ? graph['nodes'].filter(isMembers) : []
  } catch {
    return []
  }
}

function picked(source: Members, names: readonly string[]): Members {
  return Object.fromEntries(names.filter((name) => Object.hasOwn(source, name)).map((name) => [name, source[name]]))
}

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
