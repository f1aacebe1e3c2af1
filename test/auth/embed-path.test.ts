import t from 'tap'
import { type Addressed, embedTokenOf, takeEmbedToken } from '../../src/auth/embed-path.ts'

/** What becomes of an address: the address without a token, and the token. */
function taken(url: string): [string, string | undefined, string | undefined] {
  const request: Addressed = { url, originalUrl: url }
  return [takeEmbedToken(request), embedTokenOf(request), request.originalUrl]
}

t.test('the token is taken out of the address, and the rest is served', async (t) => {
  for (const rest of ['/api/v1/prediction/x', '/api/v1/ping?a=/e/b', '/api/v1/', '/api/v1/x/../y', '/api/v1/%zz'])
    for (const front of ['', 'http://gateway', 'https://gateway:8000'])
      for (const token of ['fge_abc', 'x', '..', '%2e%2e', 'a%2fb', 'fge_a.b'])
        t.strictSame(taken(`${front}/e/${token}${rest}`), [rest, token, rest])
})

t.test('below a token there is nothing but the one form of the API, and no address shows a token', async (t) => {
  for (const rest of [
    '',
    '/',
    '/health',
    '/chat/predict',
    '/chatflows',
    '//api/v1/ping',
    '/api/v1',
    '/api/v1?a=b',
    '/api/v2/ping',
    '/API/v1/ping',
    '/../api/v1/ping',
    '/%2e%2e/api/v1/ping',
    '/api%2fv1/ping',
    '/e/fge_other/api/v1/ping',
    '/api/v1/e/fge_other/api/v1/ping',
    '/api/v1/ping?t=fge_other'
  ])
    t.strictSame(taken(`/e/fge_abc${rest}`), ['/e', 'fge_abc', '/e'], rest)
})

t.test('every other address stays as it is, without a token', async (t) => {
  for (const url of [
    '/',
    '*',
    '/e',
    '/e/',
    '/e//api/v1/ping',
    '//e/fge_abc/api/v1/ping',
    '/E/fge_abc/api/v1/ping',
    '/%65/fge_abc/api/v1/ping',
    '/x/e/fge_abc/api/v1/ping',
    '/api/v1/e/fge_abc',
    '/e?x=/e/fge_abc/api/v1/ping',
    '/ee/fge_abc/api/v1/ping'
  ])
    t.strictSame(taken(url), [url, undefined, url], url)
})
