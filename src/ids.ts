import { createHash, randomBytes, randomFillSync } from 'node:crypto'

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'
/** The same in the order of their codes: texts of these sort like the bytes they stand for. */
const SORTED = '234567abcdefghijklmnopqrstuvwxyz'
const RUN_BYTES = 17
const RUN_LENGTH = 26
const HEX = '0123456789abcdef'
/** Of a UUID, in front of 14 bits. */
const VARIANT = 0x8000
/** A call for random bytes costs more than the bytes do. */
const POOLED = 256
const ORDERED = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const COUNTER_LIMIT = 0x1000

/** Sources of identifiers, as an argument, so that tests can make them repeatable. */
export interface Ids {
  /** UUID v4: what is to tell nothing about itself. */
  uuid(): string
  /**
   * UUID v7 (RFC 9562, section 5.7), each greater than the one before: ids of rows that are made in numbers. Neighbours in
   * time are neighbours in every index, and a store writes few pages for many of them.
   */
  ordered(): string
  /** 26 characters of `[a-z2-7]` (130 random bits): attempt nonces and names of processes. */
  run(): string
  /** 32 random bytes as base64url: refresh tokens and other secrets. */
  secret(): string
}

/** Identifiers from the operating system's random source. */
export function createIds(now: () => number = () => Date.now()): Ids {
  const random = createRandom()
  return {
    uuid: createUuids(random),
    ordered: createOrdered(now, random),
    run: createRuns(),
    secret: () => randomBytes(32).toString('base64url')
  }
}

/** The run id that belongs to these parts, always the same one: 26 characters of `[a-z2-7]`. */
export function derivedRunId(...parts: string[]): string {
  return base32(createHash('sha256').update(JSON.stringify(parts)).digest().subarray(0, RUN_BYTES), ALPHABET)
}

/** The run that a message answers: whoever knows the message finds its money without an index. Of ordered ids it keeps the order. */
export function runIdOf(messageId: string): string {
  if (!ORDERED.test(messageId)) return derivedRunId('run', messageId)
  return base32(Buffer.from(messageId.replaceAll('-', ''), 'hex'), SORTED)
}

/** Lower-case hex SHA-256, the form in which tokens and keys are stored. */
export function sha256Hex(text: string | Uint8Array): string {
  return createHash('sha256').update(text).digest('hex')
}

/** 32 random bits at each call. */
function createRandom(): () => number {
  const pool = new Uint32Array(2 * POOLED)
  let next = pool.length
  return () => {
    if (next === pool.length) {
      randomFillSync(pool)
      next = 0
    }
    return pool[next++] ?? 0
  }
}

/** Written in place, as the ordered ones are: a text that is put together of parts is kept as a chain of them. */
function createUuids(random: () => number): () => string {
  const text = Buffer.from('00000000-0000-4000-8000-000000000000')
  return () => {
    const middle = random()
    const some = random()
    put(text, 0, 8, random())
    put(text, 9, 4, middle >>> 16)
    put(text, 15, 3, middle & 0xfff)
    put(text, 19, 4, VARIANT | (some >>> 18))
    put(text, 24, 4, some & 0xffff)
    put(text, 28, 8, random())
    return text.toString('latin1')
  }
}

/** Twelve bits count within a millisecond; who needs more borrows from the next one. */
function createOrdered(now: () => number, random: () => number): () => string {
  const text = Buffer.from('00000000-0000-7000-8000-000000000000')
  let latest = 0
  let counter = 0

  function advance(to: number): void {
    latest = to
    counter = 0
    put(text, 0, 8, Math.floor(to / 0x10000))
    put(text, 9, 4, to & 0xffff)
  }

  return () => {
    const at = now()
    // A clock that is set back stands still.
    if (at > latest) advance(at)
    else if (++counter === COUNTER_LIMIT) advance(latest + 1)
    const some = random()
    put(text, 15, 3, counter)
    put(text, 19, 4, VARIANT | (some >>> 18))
    put(text, 24, 4, some & 0xffff)
    put(text, 28, 8, random())
    return text.toString('latin1')
  }
}

function put(text: Buffer, at: number, digits: number, value: number): void {
  let rest = value
  for (let i = at + digits - 1; i >= at; i--) {
    text[i] = HEX.charCodeAt(rest & 15)
    rest >>>= 4
  }
}

function createRuns(): () => string {
  const pool = Buffer.alloc(RUN_BYTES * POOLED)
  let at = pool.length
  return () => {
    if (at === pool.length) {
      randomFillSync(pool)
      at = 0
    }
    at += RUN_BYTES
    return base32(pool.subarray(at - RUN_BYTES, at), ALPHABET)
  }
}

/** The first 130 bits at most, zeros behind where there are fewer. */
function base32(bytes: Uint8Array, alphabet: string): string {
  const codes = Buffer.allocUnsafe(RUN_LENGTH)
  let length = 0
  let bits = 0
  let value = 0
  for (let i = 0; i < bytes.length; i++) {
    value = ((value << 8) | (bytes[i] ?? 0)) & 0xfff
    bits += 8
    while (bits >= 5 && length < RUN_LENGTH) {
      bits -= 5
      codes[length++] = alphabet.charCodeAt((value >> bits) & 31)
    }
  }
  if (length < RUN_LENGTH) codes[length++] = alphabet.charCodeAt((value << (5 - bits)) & 31)
  // In one piece: a text that is put together letter by letter is kept as a chain of its letters.
  return codes.toString('latin1', 0, length)
}
