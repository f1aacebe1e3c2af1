import type { Clock } from '../clock.ts'

/** Whether a chatflow can stream, as far as Flowise says. */
export type Eligibility = 'yes' | 'no' | 'unknown' | 'not_found'

export interface EligibilityOptions {
  clock: Clock
  /** At most 60,000: a flow that was changed must not be misjudged for longer. */
  ttlMs: number
  maxEntries: number
  /** Asks Flowise. */
  lookup: (chatflowId: string) => Promise<Eligibility>
}

/** Remembers what `lookup` said for a while. Only `yes` and `no` are kept, and calls at the same time share one look-up. */
export function createEligibility(options: EligibilityOptions): (chatflowId: string) => Promise<Eligibility> {
  const { clock, ttlMs, maxEntries, lookup } = options
  const known = new Map<string, { value: Eligibility; until: number }>()
  const running = new Map<string, Promise<Eligibility>>()

  return async function eligibility(chatflowId) {
    const entry = known.get(chatflowId)
    if (entry !== undefined && clock.now() < entry.until) return entry.value
    const shared = running.get(chatflowId) ?? ask(chatflowId)
    running.set(chatflowId, shared)
    return shared
  }

  async function ask(chatflowId: string): Promise<Eligibility> {
    const askedAt = clock.now()
    try {
      const value = await lookup(chatflowId)
      if (value === 'yes' || value === 'no') remember(chatflowId, value, askedAt + ttlMs)
      return value
    } finally {
      running.delete(chatflowId)
    }
  }

  function remember(chatflowId: string, value: Eligibility, until: number): void {
    known.delete(chatflowId)
    known.set(chatflowId, { value, until })
    const [oldest] = known.keys()
    if (known.size > maxEntries && oldest !== undefined) known.delete(oldest)
  }
}
