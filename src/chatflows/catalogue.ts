import { AppError, invalid } from '../errors.ts'
import { normalOrigin } from '../origin.ts'
import type { ChatflowRow } from '../store/collections.ts'
import type { Append, Change, Store } from '../store/port.ts'

/** Keys of overrideConfig that no administrator can open: the gateway sets the one and hides the other. */
const NEVER_OVERRIDDEN = new Set(['sessionId', 'analytics'])

/** As long as nobody can take it for the id of another chatflow. */
const ALIAS = /^[a-z0-9][a-z0-9._-]{0,63}$/
const LIKE_AN_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-/

/** Settings of a chatflow as the API has them, amounts in credits; null goes back to the default. */
export interface ChatflowPatch {
  price?: number | null
  upsert_price?: number | null
  metered?: { per_1k_tokens: number; per_1k_output_tokens?: number; floor: number; ceiling: number } | null
  override_allow?: string[] | null
  alias?: string | null
  system_messages?: NonNullable<ChatflowRow['systemMessages']> | null
  response_fields?: string[] | null
  stream_events?: string[] | null
  allowed_origins?: string[] | null
  redaction?: NonNullable<ChatflowRow['redaction']> | null
  on_disconnect?: { continue_seconds: number } | null
}

export interface CatalogueStats {
  total: number
  active: number
  deleted: number
  error: number
}

/** The chatflows the gateway knows: what sync read from Flowise, and the settings administrators gave them. */
export interface Catalogue {
  /** Undefined for an id that was never in the catalogue; a deleted one is still answered. */
  get(chatflowId: string): Promise<ChatflowRow | undefined>
  /** The same, for every request about it (`recent` of the store). */
  recent(chatflowId: string): Promise<ChatflowRow | undefined>
  /** The same by id or alias. */
  named(name: string): Promise<ChatflowRow | undefined>
  /** Chatflows of every status by id, behind `afterId`. */
  list(page: { afterId: string | undefined; limit: number }): Promise<ChatflowRow[]>
  stats(): Promise<CatalogueStats>
  /**
   * Answers the row as it is now; undefined for an unknown id. What `record` makes of the row before and after appears
   * with the change.
   * @throws validation_error for an amount with more than six decimals, a floor above the ceiling, or a closed key;
   * already_exists for the alias of another chatflow
   */
  patch(
    chatflowId: string,
    patch: ChatflowPatch,
    record?: (before: ChatflowRow, after: ChatflowRow) => Append[]
  ): Promise<ChatflowRow | undefined>
}

export interface CatalogueOptions {
  store: Store
  /** Credits to micro-credits; throws on amounts that cannot be a price. */
  toMicro: (credits: number) => number
  /** What it accepts. Default: at most six decimals. */
  priceRule?: string
  /** Whether a price may depend on tokens. Default true. */
  canMeter?: boolean
}

const PRICE_RULE = 'must be an amount with at most six decimals'

/** The catalogue in this store. */
export function createCatalogue(options: CatalogueOptions): Catalogue {
  const { store, toMicro, priceRule = PRICE_RULE, canMeter = true } = options
  const rows = store.collection<ChatflowRow>('chatflows')

  function amount(loc: string[], credits: number): number {
    try {
      return toMicro(credits)
    } catch {
      throw invalid(['body', ...loc], priceRule)
    }
  }

  function meteredOf(metered: NonNullable<ChatflowPatch['metered']>) {
    const { per_1k_tokens, per_1k_output_tokens: output, floor, ceiling } = metered
    if (!canMeter) throw invalid(['body', 'metered'], 'must be null: the accounting service knows flat prices only')
    if (floor > ceiling) throw invalid(['body', 'metered', 'floor'], 'must not be above the ceiling')
    return {
      per1kTokensMicro: amount(['metered', 'per_1k_tokens'], per_1k_tokens),
      ...(output !== undefined && { per1kOutputMicro: amount(['metered', 'per_1k_output_tokens'], output) }),
      floorMicro: amount(['metered', 'floor'], floor),
      ceilingMicro: amount(['metered', 'ceiling'], ceiling)
    }
  }

  function changeOf(patch: ChatflowPatch): Required<Pick<Change, 'set' | 'unset'>> {
    const closed = patch.override_allow?.find((key) => NEVER_OVERRIDDEN.has(key))
    if (closed !== undefined) throw invalid(['body', 'override_allow'], `must not contain ${closed}`)
    if (patch.alias && LIKE_AN_ID.test(patch.alias)) throw invalid(['body', 'alias'], 'must not look like an id')
    const members = {
      priceMicro: convert(patch.price, (price) => amount(['price'], price)),
      upsertPriceMicro: convert(patch.upsert_price, (price) => amount(['upsert_price'], price)),
      metered: convert(patch.metered, meteredOf),
      overrideAllow: convert(patch.override_allow, unique),
      alias: patch.alias,
      systemMessages: patch.system_messages,
      responseFields: convert(patch.response_fields, unique),
      streamEvents: convert(patch.stream_events, unique),
      allowedOrigins: convert(patch.allowed_origins, originsOf),
      redaction: patch.redaction,
      onDisconnect: convert(patch.on_disconnect, ({ continue_seconds: seconds }) => ({ continueMs: seconds * 1000 }))
    }
    const set = Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined && value !== null))
    const unset = Object.entries(members).flatMap(([name, value]) => (value === null ? [name] : []))
    return { set, unset }
  }

  return {
    get: (chatflowId) => rows.get(chatflowId),
    recent: (chatflowId) => rows.recent(chatflowId),

    async named(name) {
      const row = await rows.recent(name)
      if (row !== undefined || !ALIAS.test(name)) return row
      return (await rows.list({ where: { equal: { alias: name } }, limit: 1 }))[0]
    },

    list: ({ afterId, limit }) =>
      rows.list({ ...(afterId === undefined ? {} : { after: { value: afterId, id: afterId } }), limit }),

    async stats() {
      const count = (status: ChatflowRow['status']) => rows.count({ equal: { status } })
      const [active, deleted, error] = await Promise.all([count('active'), count('deleted'), count('error')])
      return { total: active + deleted + error, active, deleted, error }
    },

    async patch(chatflowId, patch, record = () => []) {
      const { set, unset } = changeOf(patch)
      const before = await rows.get(chatflowId)
      if (before === undefined || unset.length + Object.keys(set).length === 0) return before
      const kept = Object.entries(before).filter(([name]) => !unset.includes(name))
      const after = { ...(Object.fromEntries(kept) as unknown as ChatflowRow), ...set }
      const isDone = await rows.update(chatflowId, {}, { set, unset }, record(before, after))
      if (!isDone && 'alias' in set)
        throw new AppError('already_exists', { detail: 'Another chatflow has this alias.' })
      return rows.get(chatflowId)
    }
  }
}

/** Undefined stays (not mentioned), null stays (back to the default), a value is converted. */
function convert<T, R>(value: T | null | undefined, to: (value: T) => R): R | null | undefined {
  if (value === undefined) return undefined
  return value === null ? null : to(value)
}

/** As browsers send them. @throws validation_error */
function originsOf(texts: string[]): string[] {
  return unique(texts).map((text, index) => {
    const origin = normalOrigin(text)
    if (origin !== undefined) return origin
    throw invalid(['body', 'allowed_origins', String(index)], 'must be an origin such as https://shop.example.com')
  })
}

function unique(names: string[]): string[] {
  return [...new Set(names)]
}
