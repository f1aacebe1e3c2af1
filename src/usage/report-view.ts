import { csvTable } from '../csv.ts'
import { Credits, Members, Nullable, PageQuery, type Static, Type } from '../schema.ts'
import type { UsageCounts } from '../store/usage-rows.ts'
import type { UsageGroup } from './groups.ts'

const Tokens = Type.Integer({ minimum: 0 })
const counts = {
  predictions: Type.Integer({ description: 'uploads to a vector store among them' }),
  completed: Type.Integer(),
  stopped: Type.Integer({ description: 'by somebody, or because nobody was there any more' }),
  failed: Type.Integer(),
  credits_charged: Credits,
  input_tokens: Tokens,
  output_tokens: Tokens,
  total_tokens: Type.Integer({ description: 'as the flows reported them; a sum may be all that a flow tells' }),
  estimated_tokens: Type.Integer({ description: 'of metered predictions whose flow reported none, by our own count' })
}

/** Columns of a table, as far as the report is broken down by them. */
const COLUMNS = {
  day: ['day'],
  user: ['user_id', 'username'],
  chatflow: ['chatflow_id', 'chatflow_name'],
  key: ['api_key_id']
} as const

/** One row of a report: the members that it is broken down by, and the counts. */
export const UsageRowBody = Type.Object({
  day: Type.Optional(Type.String({ description: 'YYYY-MM-DD, of UTC' })),
  user_id: Type.Optional(Type.String()),
  username: Type.Optional(Nullable(Type.String())),
  chatflow_id: Type.Optional(Type.String()),
  chatflow_name: Type.Optional(Nullable(Type.String())),
  api_key_id: Type.Optional(Nullable(Type.String())),
  ...counts
})

export type UsageRowView = Static<typeof UsageRowBody>

const UsageTotals = Type.Object(counts)

/** A page of a report. */
export const UsagePage = Type.Object({
  from: Type.String(),
  to: Type.String(),
  rows: Type.Array(UsageRowBody),
  count: Type.Integer(),
  next_cursor: Nullable(Type.String()),
  totals: Nullable(Type.Object(counts, { description: 'of the whole report; on its first page' }))
})

const Day = Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}$', examples: ['2026-01-31'] })

/** What every report can be asked. */
export const UsageQueryMembers = {
  from: Type.Optional({ ...Day, description: 'first day, of UTC; default: 29 days before the last' }),
  to: Type.Optional({ ...Day, description: 'last day, itself included; default: today' }),
  group_by: Type.Optional(
    Type.String({ maxLength: 64, default: 'day', description: 'comma list of day, user, chatflow, key' })
  ),
  chatflow_id: Type.Optional(Type.String({ maxLength: 128 })),
  api_key_id: Type.Optional(Type.String({ maxLength: 128 })),
  ...PageQuery
}

/** The same for administrators. */
export const AdminUsageQuery = Members({
  ...UsageQueryMembers,
  user_id: Type.Optional(Type.String({ maxLength: 128 }))
})

/** What rows show beyond ids; undefined for what is no more. */
export interface UsageNames {
  username(userId: string): Promise<string | null | undefined>
  chatflowName(chatflowId: string): Promise<string | undefined>
}

export interface ReportView {
  row(group: UsageGroup): Promise<UsageRowView>
  totals(sum: UsageCounts): Static<typeof UsageTotals>
  /** The rows as a table with the columns of this breakdown. */
  table(groups: AsyncIterable<UsageGroup>, groupBy: ReadonlySet<keyof typeof COLUMNS>): AsyncGenerator<string>
}

const REMEMBERED = 10_000

/** The view of one report: names are looked up once for all its rows. */
export function createReportView(names: UsageNames, toCredits: (micro: number) => number): ReportView {
  const username = remember((id) => names.username(id))
  const chatflowName = remember((id) => names.chatflowName(id))

  function totals(sum: UsageCounts): Static<typeof UsageTotals> {
    return {
      predictions: sum.predictions,
      completed: sum.completed,
      stopped: sum.stopped,
      failed: sum.failed,
      credits_charged: toCredits(sum.chargedMicro),
      input_tokens: sum.inputTokens,
      output_tokens: sum.outputTokens,
      total_tokens: sum.totalTokens,
      estimated_tokens: sum.estimatedTokens
    }
  }

  async function row({ day, userId, chatflowId, keyId, counts: sum }: UsageGroup): Promise<UsageRowView> {
    return {
      ...(day !== undefined && { day }),
      ...(userId !== undefined && { user_id: userId, username: await username(userId) }),
      ...(chatflowId !== undefined && { chatflow_id: chatflowId, chatflow_name: await chatflowName(chatflowId) }),
      ...(keyId !== undefined && { api_key_id: keyId }),
      ...totals(sum)
    }
  }

  return {
    row,
    totals,
    table(groups, groupBy) {
      const named = Object.entries(COLUMNS).flatMap(([dimension, columns]) => {
        return groupBy.has(dimension as keyof typeof COLUMNS) ? columns : []
      })
      const columns = [...named, ...Object.keys(counts)] as (keyof UsageRowView)[]
      return csvTable(columns, groups, row)
    }
  }
}

function remember(find: (id: string) => Promise<string | null | undefined>): (id: string) => Promise<string | null> {
  const known = new Map<string, string | null>()
  return async (id) => {
    const name = known.get(id)
    if (name !== undefined) return name
    const found = (await find(id)) ?? null
    if (known.size >= REMEMBERED) known.clear()
    known.set(id, found)
    return found
  }
}
