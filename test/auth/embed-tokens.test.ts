import t from 'tap'
import { createEmbedTokens, type EmbedClaims } from '../../src/auth/embed-tokens.ts'
import { SECRET } from './parts.ts'

const tokens = createEmbedTokens(SECRET)
const claims: EmbedClaims = {
  minter: { kind: 'key', keyId: 'abcdefghij23', hashStart: '0123456789abcdef' },
  chatflowId: 'flow',
  visitorId: 'visitor:1',
  origins: ['https://shop.example.com'],
  expiresAt: 1_800_000_000_000
}

t.test('a token says what it was made with, in a segment of a path', async (t) => {
  const byLogin = { ...claims, minter: { kind: 'login', userId: 'ü"/ 1', sid: 's' } as const, origins: [] }
  for (const made of [claims, byLogin, { ...claims, chatflowId: '😀', origins: ['http://a', 'http://b'] }]) {
    const token = tokens.sign(made)
    t.match(token, /^fge_[A-Za-z0-9_-]+$/)
    t.strictSame(tokens.read(token), made)
    t.equal(encodeURIComponent(token), token)
  }
  t.ok(tokens.sign(claims).length < 220)
})

t.test('nothing that was changed, cut, or signed elsewhere says anything', async (t) => {
  const token = tokens.sign(claims)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  for (let at = 4; at < token.length; at++) {
    const other = alphabet[(alphabet.indexOf(token.charAt(at)) + 1) % 64]
    t.equal(tokens.read(token.slice(0, at) + other + token.slice(at + 1)), undefined, `character ${at}`)
  }
  for (let length = 0; length < token.length; length++) t.equal(tokens.read(token.slice(0, length)), undefined)
  for (const wrong of [
    createEmbedTokens(`${SECRET}!`).sign(claims),
    `${token}A`,
    `${token}AAAA`,
    token.replace('fge_', 'fgw_'),
    token.slice(4),
    ` ${token}`,
    `${token}\n`,
    `fge_${'A'.repeat(4092)}`,
    `fge_${'A'.repeat(10_000_000)}`,
    ''
  ])
    t.equal(tokens.read(wrong), undefined)
})

t.test('a token has one form', async (t) => {
  const token = tokens.sign(claims)
  const forms = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const read = forms.split('').filter((last) => tokens.read(token.slice(0, -1) + last) !== undefined)
  t.strictSame(read, [token.at(-1)])
})
