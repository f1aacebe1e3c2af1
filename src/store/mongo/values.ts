import { Binary } from 'mongodb'

/** Subtype of the binary values that stand for texts without a UTF-8 form. */
const ILL_FORMED_TEXT = 0x80
/** Of a member name: what a path may name stays as it is, everything else is escaped. */
const PLAIN_NAME = /^[A-Za-z0-9_:-]+$/
/** Name of the only member of an object that stands for an array in an array, which FerretDB does not take. */
const INNER_ARRAY = '%['
/** Name of the only member of an object that stands for a value by its JSON. */
const AS_JSON = '%json'
/** Of the hundred levels that MongoDB allows; an array in an array takes two. */
const MAX_DEPTH = 40
const ESCAPED_PART = /%([0-9a-f]{4})/g

/**
 * The value as MongoDB keeps it, with the meaning JSON gives it. Names that MongoDB cannot hold (dots, dollars, empty)
 * are escaped; a text with a lone surrogate, which has no UTF-8 form, becomes a binary; what is nested deeper than
 * MongoDB allows becomes JSON.
 */
export function toStored(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return storedText(value)
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (typeof value !== 'object' || value === null) return value ?? null
  if (depth > MAX_DEPTH) return { [AS_JSON]: JSON.stringify(value) }
  if (Array.isArray(value)) return value.map((item) => storedItem(item, depth + 1))
  const stored: [string, unknown][] = []
  for (const [name, member] of Object.entries(value))
    if (member !== undefined) stored.push([storedName(name), toStored(member, depth + 1)])
  return Object.fromEntries(stored)
}

function storedItem(item: unknown, depth: number): unknown {
  const stored = toStored(item, depth)
  return Array.isArray(stored) ? { [INNER_ARRAY]: stored } : stored
}

/** What toStored was given. */
export function fromStored(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(fromStored)
  if (value instanceof Binary) return Buffer.from(value.buffer).toString('utf16le')
  if (INNER_ARRAY in value) return fromStored(value[INNER_ARRAY])
  if (AS_JSON in value) return JSON.parse(String(value[AS_JSON]))
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [originalName(name), fromStored(member)]))
}

/** The text, or what stands for it. */
export function storedText(text: string): string | Binary {
  return text.isWellFormed() ? text : new Binary(Buffer.from(text, 'utf16le'), ILL_FORMED_TEXT)
}

/** The member name with everything outside the path alphabet as `%` and four hexadecimal digits per UTF-16 unit. */
export function storedName(name: string): string {
  if (PLAIN_NAME.test(name)) return name
  if (name === '') return '%'
  let stored = ''
  for (let i = 0; i < name.length; i++) {
    const unit = name.charAt(i)
    stored += PLAIN_NAME.test(unit) ? unit : `%${name.charCodeAt(i).toString(16).padStart(4, '0')}`
  }
  return stored
}

function originalName(stored: string): string {
  if (!stored.includes('%')) return stored
  if (stored === '%') return ''
  return stored.replace(ESCAPED_PART, (_all, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
}
