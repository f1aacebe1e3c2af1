import { randomBytes } from 'node:crypto'
import { Busboy } from '@fastify/busboy'
import { AppError, invalid } from '../errors.ts'
import { isRecord } from './json.ts'
import type { PredictionBody } from './prediction.ts'
import type { FilePart } from './request.ts'

export interface MultipartLimits {
  files: number
  fileBytes: number
}

/** The only types that reach Flowise. What a part declares is believed here: the bytes go to a loader of that type. */
const ALLOWED_TYPES = [
  'image/jpeg',
  'image/png',
  'image/gif',
  'image/webp',
  'application/pdf',
  'text/plain',
  'text/csv',
  'application/msword',
  'application/vnd.openxmlformats-officedocument.wordprocessingml.document'
]
const TYPE_REFUSED = `Files must be of one of these types: ${ALLOWED_TYPES.join(', ')}.`
const MAX_FIELDS = 50
const MAX_FIELD_BYTES = 1_048_576
const KNOWN_FIELDS = ['question', 'chatId', 'sessionId', 'streaming', 'leadEmail']

/**
 * Reads a whole multipart body: Flowise's own fields as members, every other field as an override, and the files.
 * @throws bad_request, file_too_large, unsupported_media_type, validation_error
 */
export async function readMultipart(
  contentType: string,
  bytes: Buffer,
  limits: MultipartLimits
): Promise<{ body: Record<string, unknown>; files: FilePart[] }> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const body: Record<string, unknown> = {}
  const overrides: Record<string, unknown> = {}
  const files: FilePart[] = []
  const parser = createParser(contentType, limits)
  parser.on('field', (name, value, isNameCut, isValueCut) => {
    if (isNameCut || isValueCut) reject(invalid(['body', name.slice(0, 64)], 'is too long'))
    else if (KNOWN_FIELDS.includes(name)) body[name] = value
    else if (name !== '__proto__') overrides[name] = value
  })
  parser.on('file', (_field, stream, name, _encoding, declared) => {
    const mime = declared.toLowerCase()
    if (!ALLOWED_TYPES.includes(mime)) reject(new AppError('unsupported_media_type', { detail: TYPE_REFUSED }))
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('limit', () => reject(new AppError('file_too_large')))
    stream.on('end', () => files.push({ name: safeName(name), mime, bytes: Buffer.concat(chunks) }))
  })
  parser.on('filesLimit', () => reject(invalid(['body', 'files'], `may be at most ${limits.files}`)))
  parser.on('fieldsLimit', () => reject(invalid(['body'], `may have at most ${MAX_FIELDS} fields`)))
  parser.on('error', (cause) =>
    reject(new AppError('bad_request', { detail: 'The multipart body is malformed.' }, { cause }))
  )
  parser.on('finish', resolve)
  parser.end(bytes)
  await promise
  return { body: Object.keys(overrides).length > 0 ? { ...body, overrideConfig: overrides } : body, files }
}

/**
 * A prediction with files, as Flowise takes it: there the fields themselves are the overrides, so the session id
 * that the gateway minted is one of them.
 */
export function encodeMultipart(
  body: PredictionBody,
  files: readonly FilePart[]
): { contentType: string; payload: Buffer } {
  const boundary = `gateway-${randomBytes(16).toString('hex')}`
  const { overrideConfig, ...members } = body
  const parts: (string | Buffer)[] = []
  for (const [name, value] of Object.entries({ ...overrideConfig, ...members }))
    parts.push(`--${boundary}\r\nContent-Disposition: form-data; name="${quoted(name)}"\r\n\r\n${asField(value)}\r\n`)
  for (const { name, mime, bytes } of files)
    parts.push(
      `--${boundary}\r\nContent-Disposition: form-data; name="files"; filename="${quoted(name)}"\r\nContent-Type: ${mime}\r\n\r\n`,
      bytes,
      '\r\n'
    )
  parts.push(`--${boundary}--\r\n`)
  const payload = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)))
  return { contentType: `multipart/form-data; boundary=${boundary}`, payload }
}

function createParser(contentType: string, limits: MultipartLimits) {
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      limits: {
        files: limits.files,
        fileSize: limits.fileBytes,
        fields: MAX_FIELDS,
        fieldSize: MAX_FIELD_BYTES,
        fieldNameSize: 100,
        parts: MAX_FIELDS + limits.files
      }
    })
  } catch (cause) {
    throw new AppError('bad_request', { detail: 'The multipart body is malformed.' }, { cause })
  }
}

function asField(value: unknown): string {
  return isRecord(value) || Array.isArray(value) ? JSON.stringify(value) : String(value)
}

/** Names of fields and files inside a header: no quotes, no line breaks. */
function quoted(text: string): string {
  return text.replaceAll(/[\r\n"\\]/g, '_')
}

/** The last part of a file's name without control characters. */
function safeName(name: string | undefined): string {
  const last = (name ?? '').split(/[/\\]/).at(-1) ?? ''
  return last.replaceAll(/\p{Cc}/gu, '').slice(0, 200) || 'file'
}
