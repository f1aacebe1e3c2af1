const UNPREFIXED = /^\/(chat|chatflows|admin)(?=[/?]|$)/

/** The one form routes are declared in: `/chat/*`, `/chatflows/*` and `/admin/*` of older documents get their prefix. */
export function canonicalUrl(url: string): string {
  return UNPREFIXED.test(url) ? `/api/v1${url}` : url
}
