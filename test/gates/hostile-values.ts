import { createHmac } from 'node:crypto'

/** Strings that mean something to a parser, a store, a file system or an HTTP library. */
export const HOSTILE_TEXTS = [
  '',
  ' ',
  '\u0000',
  'a\u0000b',
  '__proto__',
  'constructor',
  'toString',
  '$where',
  '{"$gt":""}',
  '../../etc/passwd',
  "' OR '1'='1",
  '"; DROP TABLE users; --',
  '%s%s%n',
  'line\r\nx-injected: yes',
  '\uD800',
  '\u202Eevil',
  'a'.repeat(5000)
]

/** Values of every other type, for a member of any type. */
export const HOSTILE_VALUES: unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  [],
  [[]],
  [null],
  {},
  { $gt: '' },
  { toString: 'x', length: -1 },
  ...HOSTILE_TEXTS
]

/** Whole bodies, as bytes; none of them may do anything. */
export const HOSTILE_BODIES: Record<string, string | Buffer> = {
  'nothing but a brace': '{',
  'a trailing comma': '{"question":"a",}',
  'single quotes': "{'question':'a'}",
  'a comment': '{/* */}',
  'two documents': '{}{}',
  'not a number': '{"amount":NaN}',
  'a number that overflows': '{"amount":1e999}',
  'an array': '[]',
  'a string': '"text"',
  'a number': '5',
  null: 'null',
  'deep nesting': `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
  'deep objects': `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`,
  'a polluted prototype': '{"__proto__":{"isAdmin":true}}',
  'a polluted constructor': '{"constructor":{"prototype":{"isAdmin":true}}}',
  'invalid UTF-8': Buffer.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0xfe, 0x22, 0x7d]),
  'UTF-16': Buffer.from('{"question":"a"}', 'utf16le'),
  'a byte order mark and rubbish': Buffer.from([0xef, 0xbb, 0xbf, 0x7b])
}

export const HOSTILE_CONTENT_TYPES = [
  'text/plain',
  'application/xml',
  'application/x-www-form-urlencoded',
  'multipart/form-data',
  'multipart/form-data; boundary=',
  'multipart/form-data; boundary="a\\"b"',
  'application/json; charset=utf-7',
  'application/jsonp',
  'image/png',
  '*/*',
  'nonsense'
]

/** Path segments as they are written into the address. */
export const HOSTILE_SEGMENTS = [
  '..%2f..%2fetc%2fpasswd',
  '%00',
  'a%00b',
  '__proto__',
  'constructor',
  '%24where',
  '%7B%22%24gt%22%3A%22%22%7D',
  '%F0%9F%98%80',
  '%25',
  "'%20OR%201=1",
  ':id',
  '*',
  'a'.repeat(600),
  'a'.repeat(5000)
]

export const HOSTILE_QUERY_VALUES = ['', '-1', '0', '1e9', '1.5', 'abc', '%00', '[]', '{}', '__proto__', '%F0%9F%98%80']

/** Bearer tokens that must not open anything. */
export function hostileTokens(secret: string, refreshToken: string, userId: string): Record<string, string> {
  const nowSeconds = Math.floor(Date.now() / 1000)
  const good = { sub: userId, user_id: userId, role: 'admin', type: 'access', exp: nowSeconds + 3600 }
  const valid = signToken({ alg: 'HS256', typ: 'JWT' }, good, secret)
  const [head = '', payload = '', signature = ''] = valid.split('.')
  return {
    'not a token': 'rubbish',
    'two dots': '..',
    'algorithm none': `${encode({ alg: 'none', typ: 'JWT' })}.${payload}.`,
    'algorithm NONE with a signature': `${encode({ alg: 'NONE' })}.${payload}.${signature}`,
    'the signature removed': `${head}.${payload}.`,
    'the payload replaced': `${head}.${encode({ ...good, sub: 'someone-else' })}.${signature}`,
    'another key': signToken({ alg: 'HS256', typ: 'JWT' }, good, 'another-secret-another-secret-another'),
    'another algorithm': signToken({ alg: 'HS512', typ: 'JWT' }, good, secret, 'sha512'),
    'an asymmetric algorithm': signToken({ alg: 'RS256', typ: 'JWT' }, good, secret),
    'a key of the sender': signToken({ alg: 'HS256', jwk: { kty: 'oct', k: 'AAAA' } }, good, 'AAAA'),
    expired: signToken({ alg: 'HS256' }, { ...good, exp: nowSeconds - 3600 }, secret),
    'not valid yet': signToken({ alg: 'HS256' }, { ...good, nbf: nowSeconds + 3600 }, secret),
    'without an end': signToken({ alg: 'HS256' }, { ...good, exp: undefined }, secret),
    'an end that is no number': signToken({ alg: 'HS256' }, { ...good, exp: '9999999999' }, secret),
    'without a user': signToken({ alg: 'HS256' }, { ...good, sub: undefined, user_id: undefined }, secret),
    'a user that is no text': signToken({ alg: 'HS256' }, { ...good, sub: { $gt: '' }, user_id: 5 }, secret),
    'a refresh token by type': signToken({ alg: 'HS256' }, { ...good, type: 'refresh' }, secret),
    'a real refresh token': refreshToken,
    'a payload that is no object': signToken({ alg: 'HS256' }, [good], secret),
    'very long': `${head}.${'A'.repeat(10_000)}.${signature}`
  }
}

function signToken(header: object, payload: object, secret: string, hash = 'sha256'): string {
  const content = `${encode(header)}.${encode(payload)}`
  return `${content}.${createHmac(hash, secret).update(content).digest('base64url')}`
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
