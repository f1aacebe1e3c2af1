import { createPublicKey, type KeyObject } from 'node:crypto'
import { createVerifier } from 'fast-jwt'
import { type HttpCaller, isMembers, membersOf, unavailable } from './http-call.ts'

/** Algorithms of foreign tokens: all with key pairs, so that no key of the set can ever be a shared secret. */
export type KeyAlgorithm = 'RS256' | 'ES256' | 'EdDSA'

/** A key of the set that can verify. */
export interface VerifyingKey {
  readonly kid: string | undefined
  readonly algorithm: KeyAlgorithm
  /** The claims. Throws when the signature is not this key's. */
  verify(token: string): Record<string, unknown>
}

const MAX_KEYS = 100
const RSA_BITS = { min: 2048, max: 8192 }
/** The public members of each kind (RFC 7518 and 8037) and what they verify; other kinds are not keys for us. */
const KINDS: Record<string, { members: string[]; curve?: string; algorithm: KeyAlgorithm }> = {
  RSA: { members: ['kty', 'n', 'e'], algorithm: 'RS256' },
  EC: { members: ['kty', 'crv', 'x', 'y'], curve: 'P-256', algorithm: 'ES256' },
  OKP: { members: ['kty', 'crv', 'x'], curve: 'Ed25519', algorithm: 'EdDSA' }
}

/** Fetches and reads a key set. @throws auth_unavailable whatever went wrong */
export async function fetchKeySet(
  http: HttpCaller,
  { url, timeoutMs, maxBytes }: { url: string; timeoutMs: number; maxBytes: number }
): Promise<VerifyingKey[]> {
  const { status, text } = await http.call({ method: 'GET', url, timeoutMs, maxBytes })
  if (status !== 200) throw unavailable(new Error(`the key set was answered with status ${status}`))
  try {
    return readKeySet(membersOf(text))
  } catch (cause) {
    throw unavailable(cause)
  }
}

/** True for the header's word of an algorithm that key sets are for. */
export function isKeyAlgorithm(word: unknown): word is KeyAlgorithm {
  return word === 'RS256' || word === 'ES256' || word === 'EdDSA'
}

/**
 * The keys of a JSON Web Key Set (RFC 7517) that can verify; what is meant for other things, or odd, is left out.
 * Throws when it is no key set, or one with more keys than anybody has.
 */
export function readKeySet(members: Record<string, unknown> | undefined): VerifyingKey[] {
  const keys = members?.keys
  if (!Array.isArray(keys)) throw new Error('the answer is no key set')
  if (keys.length > MAX_KEYS) throw new Error(`the key set has more than ${MAX_KEYS} keys`)
  return keys.flatMap((key) => readKey(key) ?? [])
}

function readKey(jwk: unknown): VerifyingKey | undefined {
  if (!isMembers(jwk)) return undefined
  const kind = typeof jwk.kty === 'string' && Object.hasOwn(KINDS, jwk.kty) ? KINDS[jwk.kty] : undefined
  if (!kind || (kind.curve !== undefined && jwk.crv !== kind.curve)) return undefined
  if (jwk.alg !== undefined && jwk.alg !== kind.algorithm) return undefined
  if (jwk.use !== undefined && jwk.use !== 'sig') return undefined
  if (jwk.key_ops !== undefined && !(Array.isArray(jwk.key_ops) && jwk.key_ops.includes('verify'))) return undefined
  const key = publicKey(Object.fromEntries(kind.members.map((name) => [name, jwk[name]])))
  if (!key) return undefined
  const { algorithm } = kind
  // Times are checked on our clock, at every use.
  const verify = createVerifier({
    key: key.export({ type: 'spki', format: 'pem' }),
    algorithms: [algorithm],
    ignoreExpiration: true,
    ignoreNotBefore: true
  })
  return { kid: typeof jwk.kid === 'string' ? jwk.kid : undefined, algorithm, verify: (token) => verify(token) }
}

function publicKey(key: Record<string, unknown>): KeyObject | undefined {
  try {
    const made = createPublicKey({ key, format: 'jwk' })
    const bits = made.asymmetricKeyDetails?.modulusLength ?? RSA_BITS.min
    return bits >= RSA_BITS.min && bits <= RSA_BITS.max ? made : undefined
  } catch {
    return undefined
  }
}
