import { isRecord, pick } from './json.ts'

/** How newer versions of Flowise name files. */
const STORED = 'FILE-STORAGE::'

/** Events and fields of which only a part may be seen, whoever listed them: the rest belongs to the chatflow's author. */
const REDUCERS: Record<string, (data: unknown) => unknown> = {
  start: reduceText,
  token: reduceText,
  agentFlowEvent: reduceText,
  nextAgentFlow: (data) => (isRecord(data) ? pick(data, ['nodeId', 'nodeLabel', 'status']) : {}),
  agentFlowExecutedData: reduceExecutedData,
  action: reduceAction,
  fileAnnotations: reduceAnnotations
}

/** The value of a field or event without prompts, tool inputs, keys and provider texts. What is reduced once stays as it is. */
export function reduceField(name: string, value: unknown): unknown {
  const reduce = Object.hasOwn(REDUCERS, name) ? REDUCERS[name] : undefined
  return reduce === undefined ? value : reduce(value)
}

function reduceText(data: unknown): string {
  return typeof data === 'string' ? data : ''
}

function reduceExecutedData(data: unknown): unknown {
  if (!Array.isArray(data)) return []
  return data.filter(isRecord).map((node) => ({
    // flowise-embed reads the length of previousNodeIds without asking whether it is there.
    previousNodeIds: [],
    ...pick(node, ['nodeId', 'nodeLabel', 'status', 'previousNodeIds'])
  }))
}

/** Older versions of Flowise tell the path of the file, with their id of the chat in it; files are asked for by name. */
function reduceAnnotations(data: unknown): unknown {
  if (!Array.isArray(data)) return []
  return data.filter(isRecord).map(({ fileName, filePath }) => ({
    ...(typeof fileName === 'string' ? { fileName } : {}),
    ...(typeof filePath === 'string' && filePath.startsWith(STORED) ? { filePath } : {})
  }))
}

function reduceAction(data: unknown): unknown {
  if (!isRecord(data)) return {}
  const { mapping } = data
  return {
    ...pick(data, ['id', 'mapping', 'elements']),
    ...(isRecord(mapping) ? { mapping: reduceMapping(mapping) } : {}),
    ...(isRecord(data.data) ? { data: reduceStop(data.data) } : {})
  }
}

/** The node's own input stands beside its id here: messages and prompts. Resuming needs the id, and whether to ask for a comment. */
function reduceStop(data: Record<string, unknown>): Record<string, unknown> {
  const { input } = data
  const isCommented = isRecord(input) && input.humanInputEnableFeedback === true
  return {
    ...pick(data, ['nodeId', 'nodeLabel']),
    ...(isCommented ? { input: { humanInputEnableFeedback: true } } : {})
  }
}

/** Refusing a tool call takes its id and name; its arguments are the flow's. */
function reduceMapping(mapping: Record<string, unknown>): Record<string, unknown> {
  const { toolCalls } = mapping
  if (toolCalls === undefined) return mapping
  const calls = Array.isArray(toolCalls) ? toolCalls.filter(isRecord) : []
  return { ...mapping, toolCalls: calls.map((call) => pick(call, ['id', 'name', 'type'])) }
}
