import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { wantsTable } from '../src/accept.ts'
import { toCredits } from '../src/credits/pricing.ts'
import { tableHeaders } from '../src/csv.ts'
import type { Static } from '../src/schema.ts'
import { decodeCursor, toPage } from '../src/store/cursor.ts'
import { type Dimension, DIMENSIONS } from '../src/usage/groups.ts'
import { createUsageReports, pageOf } from '../src/usage/report.ts'
import { groupingOf, periodOf } from '../src/usage/report-query.ts'
import { type AdminUsageQuery, createReportView, type UsagePage } from '../src/usage/report-view.ts'
import { createRollUp } from '../src/usage/roll-up.ts'
import { createEndedRuns } from '../src/usage/runs.ts'

export interface UsageQuestion {
  query: Static<typeof AdminUsageQuery>
  /** What it may be broken down by; absent: everything. */
  dimensions?: readonly Dimension[]
  /** The chatflows that are looked at, whatever is asked; absent: all. */
  within?: readonly string[] | undefined
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Answers a page of a report, or all of it as a table. @throws validation_error, report_not_ready */
    answerUsage(
      request: FastifyRequest,
      reply: FastifyReply,
      question: UsageQuestion
    ): Promise<Static<typeof UsagePage> | Readable>
  }
}

const ROLL_UP_MS = 300_000

/** Reports of what predictions have used, and the adding up that keeps them quick. */
export default fp(
  async function usageReports(app: FastifyInstance) {
    const { store, clock, lifecycle, takeTurn } = app
    const runs = createEndedRuns(store)
    const reports = createUsageReports({ store, runs })
    const names = {
      username: async (id: string) => (await app.users.findById(id))?.username,
      chatflowName: async (id: string) => (await app.chatflows.get(id))?.name
    }

    app.decorate('answerUsage', async function answerUsage(request, reply, { query, dimensions = DIMENSIONS, within }) {
      const { group_by: groupings = 'day', user_id: userId, api_key_id: keyId, chatflow_id: chatflowId } = query
      const days = periodOf(query, clock.now())
      const groupBy = groupingOf(groupings, dimensions)
      const named = chatflowId === undefined ? undefined : [chatflowId]
      const chatflowIds = within && named ? within.filter((id) => id === chatflowId) : (named ?? within)
      const after = decodeCursor(query.cursor, 'string')?.id
      const view = createReportView(names, toCredits)
      const report = await reports.open({
        days,
        groupBy,
        ...(userId !== undefined && { userId }),
        ...(keyId !== undefined && { keyId }),
        ...(chatflowIds && { chatflowIds })
      })
      if (wantsTable(request.headers.accept)) {
        void reply.headers(tableHeaders('usage'))
        return Readable.from(view.table(report.groups(after), groupBy))
      }
      const { limit = 50 } = query
      const { groups, totals } = await pageOf(report, { after, count: limit + 1 })
      const { items, ...tail } = toPage(groups, limit, ({ key }) => key)
      const rows = await Promise.all(items.map(view.row))
      return {
        from: days[0]?.id ?? '',
        to: days.at(-1)?.id ?? '',
        rows,
        ...tail,
        totals: totals && view.totals(totals)
      }
    })

    const rollUp = createRollUp({ store, clock, runs, signal: lifecycle.drainSignal })
    lifecycle.every(ROLL_UP_MS, 'usage', async function addUpUsage() {
      await takeTurn('usage-roll-up', ROLL_UP_MS, () => rollUp.run())
    })
  },
  { name: 'usage-reports', dependencies: ['store', 'bus', 'lifecycle', 'users', 'chatflows'] }
)
