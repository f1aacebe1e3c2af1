import { isoInstant } from '../clock.ts'
import type { Static } from '../schema.ts'
import type { ChatflowRow } from '../store/collections.ts'
import type { AdminChatflowBody, ChatflowBody } from './schemas.ts'

/** How chatflows are shown. */
export interface ChatflowViews {
  /** `assignedAt` is null without a grant. */
  shown(row: ChatflowRow, assignedAt: number | null): Static<typeof ChatflowBody>
  shownToAdmin(
    row: ChatflowRow,
    more: { assignedAt: number | null; assignedUsers: number }
  ): Static<typeof AdminChatflowBody>
}

export interface ViewOptions {
  defaultPriceMicro: number
  /** Micro-credits to credits. */
  toCredits: (micro: number) => number
}

/** The views of chatflows with prices in credits. */
export function createViews({ defaultPriceMicro, toCredits }: ViewOptions): ChatflowViews {
  function shown(row: ChatflowRow, assignedAt: number | null): Static<typeof ChatflowBody> {
    return {
      id: row.id,
      name: row.name,
      description: row.description,
      category: row.category,
      type: row.type,
      deployed: row.deployed,
      is_public: row.isPublic,
      price: toCredits(row.priceMicro ?? defaultPriceMicro),
      assigned_at: assignedAt === null ? null : isoInstant(assignedAt),
      created_at: isoInstant(row.createdAt),
      updated_at: isoInstant(row.updatedAt)
    }
  }

  function meteredOf(metered: NonNullable<ChatflowRow['metered']>) {
    return {
      per_1k_tokens: toCredits(metered.per1kTokensMicro),
      ...(metered.per1kOutputMicro !== undefined && { per_1k_output_tokens: toCredits(metered.per1kOutputMicro) }),
      floor: toCredits(metered.floorMicro),
      ceiling: toCredits(metered.ceilingMicro)
    }
  }

  return {
    shown,
    shownToAdmin: (row, { assignedAt, assignedUsers }) => ({
      ...shown(row, assignedAt),
      flowise_id: row.id,
      sync_status: row.status,
      sync_error: row.syncError,
      synced_at: isoInstant(row.syncedAt),
      upsert_price: row.upsertPriceMicro === undefined ? null : toCredits(row.upsertPriceMicro),
      metered: row.metered ? meteredOf(row.metered) : null,
      override_allow: row.overrideAllow ?? null,
      alias: row.alias ?? null,
      system_messages: row.systemMessages ?? null,
      response_fields: row.responseFields ?? null,
      stream_events: row.streamEvents ?? null,
      allowed_origins: row.allowedOrigins ?? null,
      redaction: row.redaction ?? null,
      on_disconnect: row.onDisconnect ? { continue_seconds: row.onDisconnect.continueMs / 1000 } : null,
      assigned_users: assignedUsers
    })
  }
}

/** The settings an administrator made, for the audit trail. */
export function settingsOf(row: ChatflowRow): Record<string, unknown> {
  const { priceMicro, metered, overrideAllow, responseFields, streamEvents, redaction, onDisconnect } = row
  return {
    priceMicro: priceMicro ?? null,
    upsertPriceMicro: row.upsertPriceMicro ?? null,
    metered: metered ?? null,
    overrideAllow: overrideAllow ?? null,
    alias: row.alias ?? null,
    systemMessages: row.systemMessages ?? null,
    responseFields: responseFields ?? null,
    streamEvents: streamEvents ?? null,
    allowedOrigins: row.allowedOrigins ?? null,
    redaction: redaction ?? null,
    onDisconnect: onDisconnect ?? null
  }
}
