import type { Clock } from '../clock.ts'
import type { KeyBudgets } from '../credits/key-budgets.ts'
import { AppError } from '../errors.ts'
import { type Ids, sha256Hex } from '../ids.ts'
import { allOf } from '../store/collect.ts'
import type { ApiKeyRow } from '../store/key-rows.ts'
import type { Position } from '../store/cursor.ts'
import type { Append, Store } from '../store/port.ts'
import { budgetOf } from './key-identity.ts'
import { newKey } from './key-text.ts'

/** What a new key is to be. */
export type NewApiKey = Pick<
  ApiKeyRow,
  'userId' | 'name' | 'description' | 'scopes' | 'chatflowIds' | 'budgetMicro' | 'requestsPerMinute'
> & { lifeMs: number | undefined }

/** What can be changed of a key; absent members stay. */
export type KeyChange = Partial<Pick<ApiKeyRow, 'name' | 'description' | 'budgetMicro' | 'requestsPerMinute'>>

/** What appears with a change, made of the rows before and after it. */
export type RecordKey = (before: ApiKeyRow | null, after: ApiKeyRow) => Append[]

/** A key and its text, which is shown once and kept nowhere. */
export interface MadeKey {
  row: ApiKeyRow
  text: string
}

/** The keys of users for programs; `userId` null is an administrator, who may see and revoke those of anybody. */
export interface ApiKeys {
  /** @throws too_many_keys */
  create(key: NewApiKey, record: RecordKey): Promise<MadeKey>
  /** @throws key_not_found also for somebody else's */
  get(userId: string | null, id: string): Promise<ApiKeyRow>
  /** Newest first, ended ones too. */
  list(userId: string | undefined, page: { after: Position | undefined; limit: number }): Promise<ApiKeyRow[]>
  /** @throws key_not_found, key_ended */
  update(userId: string, id: string, change: KeyChange, record: RecordKey): Promise<ApiKeyRow>
  /** Another secret for the key; the old one works until `overlapUntil`. @throws key_not_found, key_ended, request_in_progress */
  rotate(userId: string, id: string, overlapUntil: number, record: RecordKey): Promise<MadeKey>
  /** At once and for ever; repeated, it changes nothing. @throws key_not_found */
  revoke(userId: string | null, id: string, record: RecordKey): Promise<ApiKeyRow>
  /** Removes the keys of a user who is deleted. */
  removeAllOf(userId: string): Promise<void>
  /** Removes keys that ended long ago. */
  purge(): Promise<void>
}

export interface ApiKeysOptions {
  store: Store
  clock: Clock
  ids: Ids
  budgets: KeyBudgets
}

/** Keys that have not been revoked; an expired one makes room when it is needed. */
export const MAX_KEYS = 50
/** How long a key that has ended is still known as one. */
const AFTERLIFE_MS = 30 * 86_400_000
const PAGE = 500

/** The keys in this store. */
export function createApiKeys({ store, clock, ids, budgets }: ApiKeysOptions): ApiKeys {
  const rows = store.collection<ApiKeyRow>('api_keys')

  const hasEnded = ({ revokedAt, expiresAt }: ApiKeyRow) =>
    revokedAt !== undefined || (expiresAt !== undefined && expiresAt <= clock.now())

  async function get(userId: string | null, id: string): Promise<ApiKeyRow> {
    const row = await rows.get(id)
    if (!row || (userId !== null && row.userId !== userId)) throw new AppError('key_not_found')
    return row
  }

  async function working(userId: string, id: string): Promise<ApiKeyRow> {
    const row = await get(userId, id)
    if (hasEnded(row)) throw new AppError('key_ended')
    return row
  }

  /** A free place among the user's, another one for each new key; of two that take the same the second looks again. */
  async function freePlace(userId: string, id: string): Promise<string> {
    const placed = await allOf(rows, { where: { equal: { userId }, exists: { place: true } }, limit: PAGE })
    const taken = new Set(placed.map(({ place }) => place))
    const places = Array.from({ length: MAX_KEYS }, (_, index) => `${userId}:${index}`)
    const free = places.filter((place) => !taken.has(place))
    const chosen = free[Number.parseInt(sha256Hex(id).slice(0, 8), 16) % free.length]
    if (chosen !== undefined) return chosen
    const expired = placed.find(hasEnded)
    if (expired?.place === undefined) throw new AppError('too_many_keys')
    await rows.update(expired.id, { equal: { place: expired.place } }, { unset: ['place'] })
    if (expired.budgetMicro !== null) await budgets.drop(userId, budgetOf(expired.id))
    return expired.place
  }

  async function remove({ id, userId }: ApiKeyRow): Promise<void> {
    // Whatever the row says: a change that was cut off leaves a budget that no row names.
    await budgets.drop(userId, budgetOf(id))
    await rows.remove(id)
  }

  return {
    get,
    async create({ lifeMs, ...wanted }, record) {
      for (let tries = 0; tries <= MAX_KEYS; tries++) {
        const { id, text, hash: secretHash, preview } = newKey(ids)
        const place = await freePlace(wanted.userId, id)
        const createdAt = clock.now()
        const life = lifeMs === undefined ? {} : { expiresAt: createdAt + lifeMs }
        const row: ApiKeyRow = { ...wanted, id, secretHash, preview, place, createdAt, ...life, lastUsedAt: 0 }
        if (!(await rows.insert(row, record(null, row)))) continue
        // The key first: it is nobody's until its text is told, while a budget without a key would stay for ever.
        if (row.budgetMicro !== null) await budgets.set(row.userId, budgetOf(id), row.budgetMicro)
        return { row, text }
      }
      throw new AppError('too_many_keys')
    },
    list: (userId, { after, limit }) =>
      rows.list({
        ...(userId === undefined ? {} : { where: { equal: { userId } } }),
        order: { by: 'createdAt', direction: 'desc' },
        ...(after ? { after } : {}),
        limit
      }),
    async update(userId, id, change, record) {
      const before = await working(userId, id)
      const after = { ...before, ...change }
      const { budgetMicro } = change
      // A key whose row names a budget needs its counter: it comes before the row, and goes after it.
      if (typeof budgetMicro === 'number') await budgets.set(userId, budgetOf(id), budgetMicro)
      const isOpen = { exists: { revokedAt: false } }
      const isChanged = await rows.update(id, isOpen, { set: { ...change } }, record(before, after))
      if (!isChanged || budgetMicro === null) await budgets.drop(userId, budgetOf(id))
      if (!isChanged) throw new AppError('key_ended')
      return after
    },
    async rotate(userId, id, overlapUntil, record) {
      const before = await working(userId, id)
      const { text, hash: secretHash, preview } = newKey(ids, id)
      const set = { secretHash, preview, previous: { hash: before.secretHash, validUntil: overlapUntil } }
      const asRead = { equal: { secretHash: before.secretHash }, exists: { revokedAt: false } }
      const row = { ...before, ...set }
      if (await rows.update(id, asRead, { set }, record(before, row))) return { row, text }
      throw new AppError('request_in_progress', { detail: 'This API key was changed at the same time.' })
    },
    async revoke(userId, id, record) {
      const before = await get(userId, id)
      const revokedAt = clock.now()
      const row = { ...before, revokedAt }
      const isOpen = { exists: { revokedAt: false } }
      const isOurs = await rows.update(id, isOpen, { set: { revokedAt }, unset: ['place'] }, record(before, row))
      await budgets.drop(before.userId, budgetOf(id))
      return isOurs ? row : get(userId, id)
    },
    async removeAllOf(userId) {
      for (const row of await allOf(rows, { where: { equal: { userId } }, limit: PAGE })) await remove(row)
    },
    async purge() {
      const before = clock.now() - AFTERLIFE_MS
      for (const member of ['revokedAt', 'expiresAt']) {
        const order = { by: member, direction: 'asc' } as const
        for (const row of await allOf(rows, { where: { lt: { [member]: before } }, order, limit: PAGE }))
          await remove(row)
      }
    }
  }
}
