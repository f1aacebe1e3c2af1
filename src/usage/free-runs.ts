import type { Clock } from '../clock.ts'
import type { FreeRunRow } from '../store/usage-rows.ts'
import type { Store } from '../store/port.ts'

/** The end of a run that has no entry in the books. */
export interface FreeEnd {
  readonly rid: string
  readonly accountId: string
  readonly chatflowId: string
  readonly meta: FreeRunRow['meta']
}

export interface FreeRuns {
  /** Remembers the run; a second time changes nothing. It is found at once, and stored soon. */
  ended(run: FreeEnd): void
  find(runId: string): Promise<FreeRunRow | undefined>
  /** Removes what is older than reports and receipts reach; answers how many. */
  purgeExpired(): Promise<number>
}

export interface FreeRunsOptions {
  store: Store
  clock: Clock
  keptMs: number
  /** Keeps the process for work that nobody waits for. */
  track: (work: Promise<unknown>) => void
}

const PAGE = 500

/** The runs that cost nothing, in a collection of their own, which forgets. */
export function createFreeRuns({ store, clock, keptMs, track }: FreeRunsOptions): FreeRuns {
  const rows = store.collection<FreeRunRow>('free_runs')
  const storing = new Map<string, FreeRunRow>()

  return {
    ended({ rid: id, accountId: userId, chatflowId, meta }) {
      if (storing.has(id)) return
      const at = clock.now()
      const durationMs = typeof meta['durationMs'] === 'number' ? meta['durationMs'] : 0
      const row = { id, userId, chatflowId, startedAt: at - durationMs, at, expiresAt: at + keptMs, meta }
      storing.set(id, row)
      track(rows.insert(row).finally(() => storing.delete(id)))
    },
    find: async (runId) => storing.get(runId) ?? rows.get(runId),
    async purgeExpired() {
      const due = { lt: { expiresAt: clock.now() + 1 } }
      let purged = 0
      for (;;) {
        const page = await rows.list({ where: due, order: { by: 'expiresAt', direction: 'asc' }, limit: PAGE })
        for (const { id } of page) if (await rows.remove(id)) purged++
        if (page.length < PAGE) return purged
      }
    }
  }
}
