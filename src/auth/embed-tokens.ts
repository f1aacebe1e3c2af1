import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'

/** Who made an embed token; it ends with that key or login session. */
export type Minter =
  /** `hashStart`: the beginning of the hash of the key's text at that time. */
  { kind: 'key'; keyId: string; hashStart: string } | { kind: 'login'; userId: string; sid: string }

/** What an embed token says. */
export interface EmbedClaims {
  minter: Minter
  chatflowId: string
  visitorId: string
  /** Lower case; empty: all pages. */
  origins: readonly string[]
  /** Epoch ms, whole seconds. */
  expiresAt: number
}

/** Short-lived tokens for web pages, each for one chatflow and one visitor. Nothing of them is stored. */
export interface EmbedTokens {
  /** A text for a segment of a path. */
  sign(claims: EmbedClaims): string
  /** What a token says that was made here, also when it has expired; undefined for everything else. */
  read(token: string): EmbedClaims | undefined
}

export const MAX_EMBED_TOKEN_LENGTH = 4096

const FORM = /^fge_[\w-]{40,4092}$/
const PREFIX = 'fge_'
/** 128 of the 256 bits, which RFC 2104 (section 5) allows: the token is part of an address. */
const MAC_BYTES = 16

/** Tokens signed with HMAC-SHA-256 and a key of their own, made from the secret (HKDF, RFC 5869). */
export function createEmbedTokens(secret: string): EmbedTokens {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'embed tokens', 32))
  const macOf = (payload: Buffer) => createHmac('sha256', key).update(payload).digest().subarray(0, MAC_BYTES)

  return {
    sign(claims) {
      const payload = Buffer.from(JSON.stringify(toList(claims)))
      return PREFIX + Buffer.concat([payload, macOf(payload)]).toString('base64url')
    },
    read(token) {
      if (!FORM.test(token)) return undefined
      const text = token.slice(PREFIX.length)
      const bytes = Buffer.from(text, 'base64url')
      // The decoder overlooks what does not fit: each token has one form.
      if (bytes.toString('base64url') !== text) return undefined
      const payload = bytes.subarray(0, -MAC_BYTES)
      if (!timingSafeEqual(bytes.subarray(-MAC_BYTES), macOf(payload))) return undefined
      return fromList(JSON.parse(payload.toString('utf8')))
    }
  }
}

/** A list is shorter than an object; its first member says what the others are. */
function toList({ minter, chatflowId, visitorId, origins, expiresAt }: EmbedClaims): unknown[] {
  const [kind, ...by] = minter.kind === 'key' ? ['k', minter.keyId, minter.hashStart] : ['s', minter.userId, minter.sid]
  return [kind, ...by, chatflowId, visitorId, Math.floor(expiresAt / 1000), ...origins]
}

/** Only of what was signed here. */
function fromList([kind, first, second, chatflowId, visitorId, seconds, ...origins]: [
  'k' | 's',
  string,
  string,
  string,
  string,
  number,
  ...string[]
]): EmbedClaims {
  const minter: Minter =
    kind === 'k' ? { kind: 'key', keyId: first, hashStart: second } : { kind: 'login', userId: first, sid: second }
  return { minter, chatflowId, visitorId, origins, expiresAt: seconds * 1000 }
}
