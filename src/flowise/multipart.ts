import { randomBytes } from 'node:crypto'
import type { ClaimedFile } from '../files/arrival.ts'
import type { Form } from '../multipart.ts'
import { isRecord } from './json.ts'
import type { PredictionBody } from './prediction.ts'
import type { FilePart } from './request.ts'
import type { Encoded } from './uploads.ts'

const KNOWN_FIELDS = ['question', 'chatId', 'sessionId', 'streaming', 'leadEmail']

/** A form as Flowise understands it: its own fields are members, every other field is an override, and all files count. */
export function readFlowiseForm({ fields, files }: Form): { body: Record<string, unknown>; files: ClaimedFile[] } {
  const body: Record<string, unknown> = {}
  const overrides: Record<string, unknown> = {}
  for (const [name, value] of fields) {
    if (KNOWN_FIELDS.includes(name)) body[name] = value
    else if (name !== '__proto__') overrides[name] = value
  }
  return {
    body: Object.keys(overrides).length > 0 ? { ...body, overrideConfig: overrides } : body,
    files: files.map(({ name, mime, bytes }) => ({ name, claims: [mime], bytes }))
  }
}

/**
 * A prediction with files, as Flowise takes it: there the fields themselves are the overrides, so the session id
 * that the gateway minted is one of them.
 */
export function encodeMultipart(body: PredictionBody, files: readonly FilePart[]): Encoded {
  const { overrideConfig, ...members } = body
  return encodeForm({ ...overrideConfig, ...members }, files)
}

/** A form; what is no text in a field becomes JSON. */
export function encodeForm(fields: Record<string, unknown>, files: readonly FilePart[]): Encoded {
  const boundary = `gateway-${randomBytes(16).toString('hex')}`
  const parts: (string | Buffer)[] = []
  for (const [name, value] of Object.entries(fields))
    parts.push(`--${boundary}\r\nContent-Disposition: form-data; name="${quoted(name)}"\r\n\r\n${asField(value)}\r\n`)
  for (const { name, mime, bytes } of files)
    parts.push(
      `--${boundary}\r\nContent-Disposition: form-data; name="files"; filename="${quoted(name)}"\r\nContent-Type: ${mime}\r\n\r\n`,
      bytes,
      '\r\n'
    )
  parts.push(`--${boundary}--\r\n`)
  const pieces = parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part))
  const sizeBytes = pieces.reduce((sum, piece) => sum + piece.length, 0)
  return { contentType: `multipart/form-data; boundary=${boundary}`, sizeBytes, payload: pieces.values() }
}

function asField(value: unknown): string {
  return isRecord(value) || Array.isArray(value) ? JSON.stringify(value) : String(value)
}

/** Names of fields and files inside a header: no quotes, no line breaks. */
function quoted(text: string): string {
  return text.replaceAll(/[\r\n"\\]/g, '_')
}
