import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { unavailable } from './http-call.ts'
import type { KeyAlgorithm, VerifyingKey } from './jwks-keys.ts'

/** The keys of the issuer, as far as they are known. */
export interface KeyCache {
  /**
   * The key for a token's header; undefined when the issuer has none.
   * @throws auth_unavailable when there is none here and the issuer cannot be asked
   */
  find(header: { kid: string | undefined; algorithm: KeyAlgorithm }): Promise<VerifyingKey | undefined>
  /** Whether the key is still one of the issuer's: what it verified is believed no longer than that. */
  isCurrent(key: VerifyingKey): boolean
  /** Asks ahead of the first token; never rejects. */
  prefetch(): Promise<void>
}

export interface KeyCacheOptions {
  /** @throws auth_unavailable */
  fetchKeys: () => Promise<VerifyingKey[]>
  clock: Clock
  /** Told why the keys could not be fetched. */
  onError: (error: unknown) => void
}

/** After so long the keys are fetched again while they go on being used. */
const FRESH_MS = 600_000
/** Without a fetch that worked, keys are believed so long. */
const STALE_MS = 86_400_000
/** Between two fetches because of a key that is not there: tokens that are made up must not become calls. */
const UNKNOWN_MS = 60_000
/** Between two tries while there is no key at all. */
const RETRY_MS = 5_000

/** Keys in memory; a fetch is shared by all who wait for it. */
export function createKeyCache({ fetchKeys, clock, onError }: KeyCacheOptions): KeyCache {
  let keys: VerifyingKey[] = []
  let fetchedAt = Number.NEGATIVE_INFINITY
  let triedAt = Number.NEGATIVE_INFINITY
  let missedAt = Number.NEGATIVE_INFINITY
  let failure: AppError | undefined
  let running: Promise<void> | undefined

  async function load(): Promise<void> {
    triedAt = clock.now()
    try {
      keys = await fetchKeys()
      fetchedAt = clock.now()
      failure = undefined
    } catch (error) {
      failure = error instanceof AppError ? error : unavailable(error)
      onError(failure)
    }
  }

  function fetch(): Promise<void> {
    running ??= load().finally(() => {
      running = undefined
    })
    return running
  }

  function forgetStale(now: number): void {
    if (now - fetchedAt >= STALE_MS) keys = []
  }

  /** Whether a missing key is a reason to ask now. */
  function mayAsk(kid: string | undefined, now: number): boolean {
    if (running) return true
    if (keys.length === 0) return now - triedAt >= (failure === undefined ? UNKNOWN_MS : RETRY_MS)
    if (kid === undefined || now - missedAt < UNKNOWN_MS) return false
    missedAt = now
    return true
  }

  /** By its id; a token that names none is read with the only key of its kind. */
  function select({ kid, algorithm }: { kid: string | undefined; algorithm: KeyAlgorithm }): VerifyingKey | undefined {
    const fitting = keys.filter((key) => key.algorithm === algorithm && (kid === undefined || key.kid === kid))
    return kid !== undefined || fitting.length === 1 ? fitting[0] : undefined
  }

  return {
    async find(header) {
      const now = clock.now()
      forgetStale(now)
      const known = select(header)
      if (known) {
        if (now - fetchedAt >= FRESH_MS && now - triedAt >= UNKNOWN_MS) void fetch()
        return known
      }
      if (mayAsk(header.kid, now)) await fetch()
      const found = select(header)
      if (!found && failure !== undefined) throw failure
      return found
    },
    isCurrent(key) {
      forgetStale(clock.now())
      return keys.includes(key)
    },
    prefetch: () => fetch()
  }
}
