import { isRecord } from './json.ts'

/** Tokens of all nodes in Flowise's execution data; undefined if no node reports any. */
export function tokensOfExecution(executedData: unknown): number | undefined {
  if (!Array.isArray(executedData)) return undefined
  let sum: number | undefined
  for (const node of executedData) {
    const output = isRecord(node) && isRecord(node.data) ? node.data.output : undefined
    const tokens = isRecord(output) ? tokensOfUsage(output.usageMetadata) : undefined
    if (tokens !== undefined) sum = (sum ?? 0) + tokens
  }
  return sum
}

/** Tokens of one usage record: its total, else input and output together; undefined if it says nothing usable. */
export function tokensOfUsage(usage: unknown): number | undefined {
  if (!isRecord(usage)) return undefined
  if (isCount(usage.total_tokens)) return usage.total_tokens
  const { input_tokens: input, output_tokens: output } = usage
  if (!isCount(input) && !isCount(output)) return undefined
  return (isCount(input) ? input : 0) + (isCount(output) ? output : 0)
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}
