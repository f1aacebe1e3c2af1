const UNPREFIXED = /^(?:https?:\/\/[^/?#]*)?(?=\/(?:chat|chatflows|admin)(?:[/?]|$))/

/**
 * The one form routes are declared in: `/chat/*`, `/chatflows/*` and `/admin/*` of older documents get their prefix, also
 * where the request line has the whole address.
 * @see RFC 9112, 3.2.2
 */
export function canonicalUrl(url: string): string {
  return url.replace(UNPREFIXED, '/api/v1')
}
