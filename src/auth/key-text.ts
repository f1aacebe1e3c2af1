import { timingSafeEqual } from 'node:crypto'
import { type Ids, sha256Hex } from '../ids.ts'

/** A new API key: the text that is shown once, and what is kept of it. */
export interface NewKey {
  id: string
  text: string
  hash: string
  preview: string
}

/** What an API key says without being looked up. */
export interface KeyClaim {
  id: string
  hash: string
}

/** The secret has 256 random bits, so a fast hash keeps it as well as a slow one would. */
const KEY = /^fgw_([a-z2-7]{12})_([\w-]{43})$/
const ID_LENGTH = 12

/** Whether a bearer means to be an API key. */
export function isKeyText(text: string): boolean {
  return text.startsWith('fgw_')
}

/** Another secret for the key of this id; without one, a new key. */
export function newKey(ids: Ids, id = ids.run().slice(0, ID_LENGTH)): NewKey {
  const text = `fgw_${id}_${ids.secret()}`
  return { id, text, hash: sha256Hex(text), preview: `fgw_${id}_…${text.slice(-4)}` }
}

/** Undefined for what is no API key in form. */
export function readKey(text: string): KeyClaim | undefined {
  const id = KEY.exec(text)?.[1]
  return id === undefined ? undefined : { id, hash: sha256Hex(text) }
}

/** Compares without telling by its time how much of it was right; the shorter one decides how much is compared. */
export function isSameHash(stored: string, given: string): boolean {
  const [one, other] = [Buffer.from(stored.slice(0, given.length)), Buffer.from(given)]
  return one.length > 0 && one.length === other.length && timingSafeEqual(one, other)
}
