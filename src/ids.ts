import { createHash, randomBytes, randomUUID } from 'node:crypto'

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'

/** Sources of identifiers, as an argument, so that tests can make them repeatable. */
export interface Ids {
  /** UUID v4; ids of rows and everything a client may see. */
  uuid(): string
  /** 26 characters of `[a-z2-7]` (130 random bits): run ids and attempt nonces. */
  run(): string
  /** 32 random bytes as base64url: refresh tokens and other secrets. */
  secret(): string
}

/** Identifiers from the operating system's random source. */
export function createIds(): Ids {
  return {
    uuid: () => randomUUID(),
    run: () => base32(randomBytes(17)),
    secret: () => randomBytes(32).toString('base64url')
  }
}

/** The run id that belongs to these parts, always the same one: 26 characters of `[a-z2-7]`. */
export function derivedRunId(...parts: string[]): string {
  return base32(createHash('sha256').update(JSON.stringify(parts)).digest().subarray(0, 17))
}

/** The run that a message answers: whoever knows the message finds its money without an index. */
export function runIdOf(messageId: string): string {
  return derivedRunId('run', messageId)
}

/** Lower-case hex SHA-256, the form in which tokens and keys are stored. */
export function sha256Hex(text: string | Uint8Array): string {
  return createHash('sha256').update(text).digest('hex')
}

function base32(bytes: Uint8Array): string {
  let text = ''
  let bits = 0
  let value = 0
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xfff
    bits += 8
    while (bits >= 5 && text.length < 26) {
      bits -= 5
      text += ALPHABET[(value >> bits) & 31]
    }
  }
  return text
}
