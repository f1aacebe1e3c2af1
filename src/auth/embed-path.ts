/** Where the token of `/e/<token>/…` goes: a place of the request that no client can write to. */
const kToken: unique symbol = Symbol('embed token')

/** A request before it has a route, as far as its address goes. */
export interface Addressed {
  url?: string | undefined
  originalUrl?: string
  [kToken]?: string
}

const EMBEDDED = /^(?:https?:\/\/[^/?#]*)?\/e\/([^/?#]+)([^#]*)/
/** An address that is no route, in place of one that would show a token. */
const NOWHERE = '/e'

/**
 * The address without the token of an embedding page, which is kept beside it: no log and no reply is to show it. Below a
 * token there is Flowise's own surface in its one form, and nothing else.
 */
export function takeEmbedToken(request: Addressed): string {
  const { url = '/' } = request
  const [, token, rest = ''] = EMBEDDED.exec(url) ?? []
  if (token === undefined) return url
  const inner = rest.startsWith('/api/v1/') && !rest.includes('fge_') ? rest : NOWHERE
  request[kToken] = token
  request.originalUrl = inner
  return inner
}

/** The token in the path of the request, whatever it is worth; undefined on every other path. */
export function embedTokenOf(request: Addressed): string | undefined {
  return request[kToken]
}
