import { createSigner, createVerifier } from 'fast-jwt'
import type { Clock } from '../clock.ts'

/** Whose balance it is, and on whose authority it is asked for. */
export interface Customer {
  readonly userId: string
  readonly username: string | null
  readonly email: string | null
  readonly role: string
  /** What the client sent, without the scheme; absent when the gateway asks by itself. */
  readonly bearer?: string | undefined
  /** When that bearer runs out. */
  readonly expiresAt?: number
}

/** A user whom the gateway asks for by itself. */
export function toCustomer(user: { id: string; username: string | null; email?: string; role: string }): Customer {
  return { userId: user.id, username: user.username, email: user.email ?? null, role: user.role }
}

export interface AccountingTokens {
  /** Authorization as this user: their own bearer if the service can verify it and it lasts, else one minted for them. */
  asUser(customer: Customer): string
  /** True if asUser answers the bearer of the client. */
  isOwn(customer: Customer): boolean
  /** Authorization as the gateway itself. */
  asService(): string
}

const USER_TTL_SECONDS = 300
const SERVICE_TTL_SECONDS = 900
const SERVICE = 'gateway-service'
const SERVICE_CLAIMS = {
  sub: SERVICE,
  username: SERVICE,
  email: `${SERVICE}@system.local`,
  role: 'admin',
  type: 'access'
}

/** Bearers that the accounting service can verify: HS256 with the shared secret. */
export function createAccountingTokens({ secret, clock }: { secret: string; clock: Clock }): AccountingTokens {
  const sign = createSigner({ key: secret, algorithm: 'HS256' })
  const verify = createVerifier({
    key: secret,
    algorithms: ['HS256'],
    ignoreExpiration: true,
    ignoreNotBefore: true,
    cache: 1000
  })

  function mint(claims: Record<string, unknown>, ttlSeconds: number): string {
    const iat = Math.floor(clock.now() / 1000)
    return `Bearer ${sign({ ...claims, iat, exp: iat + ttlSeconds })}`
  }

  function isOwn({ bearer }: Customer): boolean {
    if (bearer === undefined) return false
    try {
      verify(bearer)
      return true
    } catch {
      return false
    }
  }

  return {
    isOwn,
    asUser(customer) {
      if (isOwn(customer)) return `Bearer ${customer.bearer}`
      const { userId, username, email, role } = customer
      // The service keeps its users by this address: present, and nobody else's.
      const address = email ?? `${encodeURIComponent(userId)}@users.invalid`
      const claims = { sub: userId, user_id: userId, username: username ?? userId, email: address, role }
      return mint({ ...claims, type: 'access' }, USER_TTL_SECONDS)
    },
    asService: () => mint(SERVICE_CLAIMS, SERVICE_TTL_SECONDS)
  }
}
