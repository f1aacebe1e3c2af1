import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { ApiKeyRow } from '../store/key-rows.ts'
import type { Store } from '../store/port.ts'
import { isSameHash, readKey } from './key-text.ts'

/** The keys that open something, looked up each time: one that was revoked opens nothing any more, in no process. */
export interface KeyRing {
  /** The key, the SHA-256 of what was sent, and when that ends. @throws invalid_token, token_revoked, token_expired */
  open(text: string): Promise<Opened & { hash: string }>
  /** The key that minted something, by the beginning of the hash of its text. @throws the same */
  minted(id: string, hashStart: string): Promise<ApiKeyRow>
}

export interface Opened {
  row: ApiKeyRow
  /** Epoch ms: of the key, or of the secret that was replaced if that is sooner. */
  endsAt: number
}

export interface KeyRingOptions {
  store: Store
  clock: Clock
  /** Takes work that no request waits for. */
  keep: (work: Promise<unknown>) => void
}

/** How exact the last use of a key is. */
const USE_MS = 60_000

/** The keys in this store. */
export function createKeyRing({ store, clock, keep }: KeyRingOptions): KeyRing {
  const rows = store.collection<ApiKeyRow>('api_keys')
  const noting = new Set<string>()

  function noteUse({ id, lastUsedAt }: ApiKeyRow): void {
    const now = clock.now()
    if (now - lastUsedAt < USE_MS || noting.has(id)) return
    noting.add(id)
    const noted = rows.update(id, { lt: { lastUsedAt: now - USE_MS + 1 } }, { set: { lastUsedAt: now } })
    keep(noted.finally(() => noting.delete(id)))
  }

  async function find(id: string, hash: string): Promise<Opened> {
    const row = await rows.recent(id)
    // Who does not have the secret learns nothing of the key.
    const isCurrent = row !== undefined && isSameHash(row.secretHash, hash)
    const isPrevious = row?.previous !== undefined && isSameHash(row.previous.hash, hash)
    if (!row || (!isCurrent && !isPrevious)) throw invalidKey()
    const now = clock.now()
    if (row.revokedAt !== undefined) throw new AppError('token_revoked', { detail: 'This API key has been revoked.' })
    const overlapEndsAt = isCurrent ? Number.MAX_SAFE_INTEGER : (row.previous?.validUntil ?? 0)
    if (now >= overlapEndsAt)
      throw new AppError('token_revoked', { detail: 'This API key has been replaced by another one.' })
    if (row.expiresAt !== undefined && now >= row.expiresAt)
      throw new AppError('token_expired', { detail: 'This API key has expired.' })
    noteUse(row)
    return { row, endsAt: Math.min(row.expiresAt ?? Number.MAX_SAFE_INTEGER, overlapEndsAt) }
  }

  return {
    async open(text) {
      const claim = readKey(text)
      if (!claim) throw invalidKey()
      return { ...(await find(claim.id, claim.hash)), hash: claim.hash }
    },
    minted: async (id, hashStart) => (await find(id, hashStart)).row
  }
}

function invalidKey(): AppError {
  return new AppError('invalid_token', { detail: 'This API key is not valid.' })
}
