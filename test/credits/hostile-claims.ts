import type { Hold } from '../../src/credits/ledger.ts'
import type { LedgerEntryRow, RequestRow } from '../../src/store/collections.ts'
import { LEASE_MS } from './hostile-schedule.ts'

/** What the actors of a schedule were told, to be held against the books at its end. */
export interface Claims {
  /** This entry is made, with this amount if there is one. Null: there was nothing to enter. */
  entry(id: string | null, delta?: number): void
  /** This amount was set aside. */
  hold(hold: Hold): void
  /** Its lease was renewed at this time (epoch ms), with so much used. */
  renewal(hold: Hold, usedMicro: number, at: number): void
  /** This answer was stored for the requests with this key. */
  receipt(key: string, receipt: unknown): void
  /** A request with this key was answered so. */
  replay(key: string, receipt: unknown): void
  /** What of it is not in the books. */
  broken(made: LedgerEntryRow[], requests: RequestRow[]): string[]
}

interface Claim {
  told: string
  holds(made: Map<string, LedgerEntryRow>, requests: RequestRow[]): boolean
}

/** No claims yet. */
export function createClaims(): Claims {
  const claims: Claim[] = []
  const receipts = new Map<string, string>()

  return {
    entry(id, delta) {
      if (id === null) return
      claims.push({
        told: `entry ${id} of ${delta ?? 'some amount'}`,
        holds: (made) => made.has(id) && (delta === undefined || made.get(id)?.delta === delta)
      })
    },
    hold({ rid, attempt }) {
      claims.push({
        told: `hold ${rid}:${attempt}`,
        holds: (made) => made.has(`${rid}:${attempt}:R`) && made.has(`${rid}:${attempt}:T`)
      })
    },
    renewal({ rid, attempt }, usedMicro, at) {
      claims.push({
        told: `renewal of ${rid}:${attempt} at ${at} with ${usedMicro} used`,
        holds(made) {
          const outcome = made.get(`${rid}:${attempt}:T`)
          if (outcome?.meta['ending'] !== 'expired') return true
          return outcome.at >= at + LEASE_MS && -outcome.delta >= usedMicro
        }
      })
    },
    receipt(key, receipt) {
      receipts.set(key, JSON.stringify(receipt))
      claims.push({
        told: `receipt ${JSON.stringify(receipt)}`,
        holds: (_made, requests) =>
          requests.some((row) => row.state === 'done' && JSON.stringify(row.receipt) === JSON.stringify(receipt))
      })
    },
    replay(key, receipt) {
      const told = JSON.stringify(receipt)
      const isAbandoned = typeof receipt === 'object' && receipt !== null && 'abandoned' in receipt
      claims.push({
        told: `replay of ${key}: ${told}`,
        holds: () => isAbandoned || !receipts.has(key) || receipts.get(key) === told
      })
    },
    broken: (made, requests) => {
      const byId = new Map(made.map((entry) => [entry.id, entry]))
      return claims.filter((claim) => !claim.holds(byId, requests)).map(({ told }) => `told, but not so: ${told}`)
    }
  }
}
