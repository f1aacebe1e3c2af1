import { AppError } from '../errors.ts'
import type { KeyLimits } from './identity.ts'

/** A request, as far as it says which page it comes from. */
export interface Asking {
  method: string
  headers: { origin?: string | undefined }
}

/** Whether a page of this origin is among those that may; an empty list is all. */
export function isListed(origins: readonly string[], origin: string): boolean {
  return origins.length === 0 || origins.includes(origin.toLowerCase())
}

/** A key that came from a page is only good for the pages it was made for. @throws origin_forbidden */
export function requireOrigin(key: KeyLimits | null, request: Asking): void {
  if (key !== null) requireListed(key.origins, key, request)
}

/**
 * The same for another list, such as a chatflow's. Browsers say where a request comes from unless it is one that pages have
 * always been able to make, an image or a link: those read, and change nothing. Servers with an API key say nothing.
 * @throws origin_forbidden
 */
export function requireListed(origins: readonly string[], { kind }: KeyLimits, { method, headers }: Asking): void {
  const { origin } = headers
  const isRead = method === 'GET' || method === 'HEAD'
  if (origin === undefined ? origins.length === 0 || isRead || kind === 'api_key' : isListed(origins, origin)) return
  throw new AppError('origin_forbidden')
}
