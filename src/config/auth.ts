import type { Environment } from '../environment.ts'
import { type Problems, readBaseUrl, readHttpUrl } from './url.ts'

/** Who knows the passwords: this gateway, or a service that is asked. */
export type AuthMode = 'local' | 'external'

export interface AuthConfig {
  readonly mode: AuthMode
  /** Without trailing slash and without /api; only in external mode. */
  readonly serviceUrl: string | undefined
  readonly timeoutMs: number
  /** Shared with the external services; undefined: the signing secret of this gateway. */
  readonly accessSecret: string | undefined
  /** Undefined: no tokens of other issuers. */
  readonly jwks: JwksConfig | undefined
}

export interface JwksConfig {
  readonly url: string
  readonly issuer: string
  readonly audience: string
  readonly roleClaim: string
}

const JWKS_PARTS = ['AUTH_ISSUER', 'AUTH_AUDIENCE'] as const

/** How users are authenticated. */
export function readAuth(values: Environment, problems: Problems): AuthConfig {
  const serviceUrl = readBaseUrl('EXTERNAL_AUTH_URL', values.EXTERNAL_AUTH_URL, { ending: /\/api$/, problems })
  const mode = modeOf(values)
  if (mode === 'external' && values.EXTERNAL_AUTH_URL === undefined)
    problems.push('EXTERNAL_AUTH_URL is required with AUTH_MODE external: the base URL of the auth service.')
  if (mode === 'external' && values.JWT_ALGORITHM !== 'HS256')
    problems.push('JWT_ALGORITHM must be HS256 with AUTH_MODE external: that is what the auth service signs with.')
  return {
    mode,
    serviceUrl: mode === 'external' ? serviceUrl : undefined,
    timeoutMs: values.AUTH_TIMEOUT_MS,
    accessSecret: values.JWT_ACCESS_SECRET,
    jwks: readJwks(values, problems)
  }
}

function modeOf({ AUTH_MODE: mode, EXTERNAL_AUTH_URL: url }: Environment): AuthMode {
  if (mode !== undefined) return mode === 'external' ? 'external' : 'local'
  return url === undefined ? 'local' : 'external'
}

/** A key set alone would accept what its issuer signs for anybody else. */
function readJwks(values: Environment, problems: Problems): JwksConfig | undefined {
  const url = readHttpUrl('AUTH_JWKS_URL', values.AUTH_JWKS_URL, problems)
  const { AUTH_ISSUER: issuer, AUTH_AUDIENCE: audience, AUTH_ROLE_CLAIM: roleClaim } = values
  if (values.AUTH_JWKS_URL === undefined) {
    const given = [...JWKS_PARTS].filter((name) => values[name] !== undefined)
    for (const name of given) problems.push(`${name} needs AUTH_JWKS_URL: the key set of that issuer.`)
    return undefined
  }
  for (const name of JWKS_PARTS)
    if (values[name] === undefined) problems.push(`${name} is required with AUTH_JWKS_URL.`)
  if (url === undefined || issuer === undefined || audience === undefined) return undefined
  return { url: url.href, issuer, audience, roleClaim }
}
