import type { ErrorCode } from '../errors.ts'
import { sha256Hex } from '../ids.ts'
import type { ClaimedFile } from '../files/arrival.ts'
import type { Form } from '../multipart.ts'
import { isRecord, pick } from './json.ts'
import { RESERVED_OVERRIDES } from './prediction.ts'

const KNOWN_FIELDS = ['chatId', 'stopNodeId']
const COUNTS = ['numAdded', 'numDeleted', 'numUpdated', 'numSkipped'] as const

/** Body of an upsert after schema validation; null counts as absent. */
export interface UpsertBody {
  chatId?: string | null
  stopNodeId?: string | null
  overrideConfig?: Record<string, unknown> | null
}

/** What Flowise says of an upsert, without the documents themselves: they may be the operator's. */
export interface Indexed {
  numAdded?: number
  numDeleted?: number
  numUpdated?: number
  numSkipped?: number
  result?: string
}

/** A form as Flowise understands it: fields that it does not know are overrides, and all files count. */
export function readUpsertForm({ fields, files }: Form): { body: UpsertBody; files: ClaimedFile[] } {
  const named = fields.filter(([name]) => KNOWN_FIELDS.includes(name))
  const others = fields.filter(([name]) => !KNOWN_FIELDS.includes(name) && name !== '__proto__')
  return {
    body: { ...Object.fromEntries(named), overrideConfig: Object.fromEntries(others) },
    files: files.map(({ name, mime, bytes }) => ({ name, claims: [mime], bytes }))
  }
}

/** The overrides that the chatflow lets through. */
export function allowedOverrides(
  overrides: Record<string, unknown> | null | undefined,
  allowed: readonly string[]
): Record<string, unknown> {
  const open = allowed.filter((name) => !RESERVED_OVERRIDES.includes(name))
  return pick(overrides ?? {}, open)
}

/** The counts and the word of success. */
export function readIndexed(said: Record<string, unknown>): Indexed {
  const counts = COUNTS.flatMap((name) => (Number.isSafeInteger(said[name]) ? [[name, said[name]]] : []))
  const { result } = said
  return {
    ...Object.fromEntries(counts),
    ...(typeof result === 'string' ? { result: result.slice(0, 200) } : {})
  }
}

/** What was stored of an upsert under an idempotency key; undefined for anything else. */
export function readStoredUpsert(stored: unknown): StoredUpsert | undefined {
  return isRecord(stored) && stored.purpose === 'upsert' ? (stored as unknown as StoredUpsert) : undefined
}

/** What a repeated idempotency key gets. */
export interface StoredUpsert {
  purpose: 'upsert'
  indexed: Indexed
  chargedMicro: number
  availableMicro?: number
  /** What failed. */
  code?: ErrorCode
}

/** The fingerprint under which an idempotency key remembers what was asked. */
export function upsertHash(chatflowId: string, body: UpsertBody, files: readonly ClaimedFile[]): string {
  const hashes = files.map(({ name, claims, bytes }) => [name, ...claims, sha256Hex(bytes)])
  return sha256Hex(JSON.stringify(['upsert', chatflowId, body, hashes]))
}
