import { isRecord } from './json.ts'

/** Tokens as the flow reported them; a member is absent where nothing was said of it. */
export interface TokenUsage {
  readonly input?: number
  readonly output?: number
  readonly total: number
  /** What the flow says its models cost, in their currency: information, never a price of ours. */
  readonly modelCost?: number
}

/** More is no count, and sums must stay safe integers. */
const MAX_TOKENS = 1_000_000_000

/** Usage of all nodes in Flowise's execution data; undefined if no node reports any. */
export function usageOfExecution(executedData: unknown): TokenUsage | undefined {
  if (!Array.isArray(executedData)) return undefined
  let sum: TokenUsage | undefined
  for (const node of executedData) {
    const output = isRecord(node) && isRecord(node.data) ? node.data.output : undefined
    const usage = isRecord(output) ? usageOf(output.usageMetadata) : undefined
    if (usage) sum = sum ? together(sum, usage) : usage
  }
  return sum
}

/** One usage record: its total, else input and output together; undefined if it says nothing usable. */
export function usageOf(record: unknown): TokenUsage | undefined {
  if (!isRecord(record)) return undefined
  const input = countOf(record.input_tokens)
  const output = countOf(record.output_tokens)
  const isSilent = input === undefined && output === undefined
  const total = countOf(record.total_tokens) ?? (isSilent ? undefined : (input ?? 0) + (output ?? 0))
  if (total === undefined) return undefined
  return known({ input, output, modelCost: costOf(record) }, total)
}

function together(a: TokenUsage, b: TokenUsage): TokenUsage {
  const sums = {
    input: sumOf(a.input, b.input),
    output: sumOf(a.output, b.output),
    modelCost: sumOf(a.modelCost, b.modelCost)
  }
  return known(sums, a.total + b.total)
}

function known(
  { input, output, modelCost }: Record<'input' | 'output' | 'modelCost', number | undefined>,
  total: number
): TokenUsage {
  return {
    ...(input !== undefined && { input }),
    ...(output !== undefined && { output }),
    total,
    ...(modelCost !== undefined && { modelCost })
  }
}

function sumOf(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined && b === undefined ? undefined : (a ?? 0) + (b ?? 0)
}

/** Flowise adds costs where the model is in its price list. */
function costOf({ total_cost: total, input_cost: input, output_cost: output }: Record<string, unknown>) {
  return amountOf(total) ?? sumOf(amountOf(input), amountOf(output))
}

function amountOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined
}

function countOf(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= MAX_TOKENS ? Number(value) : undefined
}
