import { isoInstant } from '../clock.ts'
import { Credits, Instant, Nullable, type Static, Type } from '../schema.ts'
import type { ApiKeyRow } from '../store/key-rows.ts'
import { budgetOf } from './key-identity.ts'

const members = {
  id: Type.String({ examples: ['3kq7w2mz5ahd'] }),
  user_id: Type.String({ description: 'its owner' }),
  name: Type.String(),
  description: Nullable(Type.String()),
  key_preview: Type.String({ examples: ['fgw_3kq7w2mz5ahd_…x9Qe'] }),
  scopes: Type.Array(Type.String({ enum: ['chat', 'read'] })),
  chatflow_ids: Nullable(Type.Array(Type.String(), { description: 'null: whatever its owner may use' })),
  credit_budget: Nullable(Type.Number({ description: 'credits it was last set to; null: none of its own' })),
  credit_budget_left: Nullable(Credits),
  requests_per_minute: Nullable(Type.Integer()),
  status: Type.String({ enum: ['active', 'expired', 'revoked'] }),
  created_at: Instant,
  expires_at: Nullable(Instant),
  last_used_at: Nullable(Type.String({ description: 'ISO 8601, exact to the minute' })),
  previous_valid_until: Nullable(Type.String({ description: 'until when the key that was replaced works too' })),
  revoked_at: Nullable(Instant)
}

/** A key as its owner and administrators see it; never the key itself. */
export const ApiKeyBody = Type.Object(members)

/** The one reply that shows the key. */
export const NewApiKeyBody = Type.Object({
  ...members,
  api_key: Type.String({ description: 'shown this once', examples: [`fgw_3kq7w2mz5ahd_${'A'.repeat(43)}`] })
})

export interface KeyViewOptions {
  now: number
  /** Micro-credits to credits. */
  toCredits: (micro: number) => number
  /** The budgets of the owner's account, micro-credits. */
  left: Readonly<Record<string, number>>
}

/** The API form of a key. */
export function keyView(row: ApiKeyRow, { now, toCredits, left }: KeyViewOptions): Static<typeof ApiKeyBody> {
  const { id, name, description, scopes, budgetMicro, expiresAt, revokedAt, previous } = row
  const isExpired = expiresAt !== undefined && expiresAt <= now
  const isOverlapping = previous !== undefined && previous.validUntil > now
  return {
    id,
    user_id: row.userId,
    name,
    description,
    key_preview: row.preview,
    scopes: [...scopes],
    chatflow_ids: row.chatflowIds,
    credit_budget: budgetMicro === null ? null : toCredits(budgetMicro),
    credit_budget_left: budgetMicro === null ? null : toCredits(left[budgetOf(id)] ?? 0),
    requests_per_minute: row.requestsPerMinute,
    status: revokedAt !== undefined ? 'revoked' : isExpired ? 'expired' : 'active',
    created_at: isoInstant(row.createdAt),
    expires_at: instantOf(expiresAt),
    last_used_at: instantOf(row.lastUsedAt || undefined),
    previous_valid_until: isOverlapping ? isoInstant(previous.validUntil) : null,
    revoked_at: instantOf(revokedAt)
  }
}

/** What of a key the record of changes shows. */
export function keyRecord(row: ApiKeyRow): Record<string, unknown> {
  const { userId: user_id, name, preview, scopes, chatflowIds: chatflow_ids, budgetMicro, requestsPerMinute } = row
  const limits = { credit_budget_micro: budgetMicro, requests_per_minute: requestsPerMinute }
  return { user_id, name, preview, scopes, chatflow_ids, ...limits, is_revoked: row.revokedAt !== undefined }
}

function instantOf(at: number | undefined): string | null {
  return at === undefined ? null : isoInstant(at)
}
