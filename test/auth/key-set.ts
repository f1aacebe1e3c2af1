import { createPrivateKey, generateKeyPairSync, type KeyObject, sign as signBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export const ISSUER = 'https://id.example.com/'
export const AUDIENCE = 'gateway'

export interface SigningKey {
  kid: string
  alg: 'RS256' | 'ES256' | 'EdDSA'
  privateKey: KeyObject
  publicKey: KeyObject
  /** The public half as a key set lists it. */
  jwk: Record<string, unknown>
}

/** A key pair of the kind that this algorithm needs. */
export function newKey(kid: string, alg: SigningKey['alg'] = 'ES256'): SigningKey {
  const { privateKey, publicKey } = pairFor(alg)
  return { kid, alg, privateKey, publicKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' } }
}

function pairFor(alg: SigningKey['alg']) {
  if (alg === 'RS256') return generateKeyPairSync('rsa', { modulusLength: 2048 })
  if (alg === 'EdDSA') return generateKeyPairSync('ed25519')
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

/** A token of the issuer; claims and header replace the usual ones, undefined removes. */
export function foreignToken(
  { kid, alg, privateKey }: SigningKey,
  claims: Record<string, unknown> = {},
  header: Record<string, unknown> = {}
): string {
  const now = Math.floor(Date.now() / 1000)
  const base = { iss: ISSUER, aud: AUDIENCE, sub: 'subject-1', iat: now, exp: now + 600 }
  const input = [
    { alg, kid, typ: 'JWT', ...header },
    { ...base, ...claims }
  ]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  return `${input}.${signatureOf(input, alg, privateKey)}`
}

function signatureOf(input: string, alg: SigningKey['alg'], key: KeyObject): string {
  const options = {
    key: createPrivateKey(key.export({ type: 'pkcs8', format: 'pem' })),
    dsaEncoding: 'ieee-p1363' as const
  }
  return signBytes(alg === 'EdDSA' ? null : 'sha256', Buffer.from(input), options).toString('base64url')
}

export interface KeySetServer {
  url: string
  /** Requests so far. */
  readonly requests: number
  /** What the key set lists from now on. */
  publish(...keys: { jwk: Record<string, unknown> }[]): void
  /** What is answered instead, from now on; undefined: the key set again. */
  fail(answer: { status: number; body: string } | 'cut' | undefined): void
  close(): Promise<void>
}

/** A server that publishes a key set. */
export async function startKeySet(...first: SigningKey[]): Promise<KeySetServer> {
  let keys = first.map(({ jwk }) => jwk)
  let failure: { status: number; body: string } | 'cut' | undefined
  let requests = 0
  const server = createServer((request, response) => {
    requests++
    if (failure === 'cut') request.socket.destroy()
    if (failure === 'cut') return
    const { status, body } = failure ?? { status: 200, body: JSON.stringify({ keys }) }
    response.writeHead(status, { 'content-type': 'application/json', connection: 'close' }).end(body)
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`,
    get requests() {
      return requests
    },
    publish(...published) {
      keys = published.map(({ jwk }) => jwk)
    },
    fail(answer) {
      failure = answer
    },
    close: () => new Promise((resolve) => void server.close(() => resolve()))
  }
}
