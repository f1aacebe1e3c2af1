import { invalid } from '../errors.ts'
import type { ClaimedFile } from '../files/arrival.ts'
import { Members, Nullable, type Static, Type } from '../schema.ts'
import type { FilePart } from './request.ts'
import type { Upload } from './prediction.ts'

const optional = <T extends Parameters<typeof Nullable>[0]>(schema: T) => Type.Optional(Nullable(schema))

/** A file inside a prediction, in the form of Flowise. */
export const UploadBody = Members({
  data: Type.String({ description: 'a data URL, or base64 with `mime` beside it' }),
  type: optional(Type.Literal('file')),
  name: optional(Type.String({ maxLength: 1024 })),
  mime: optional(Type.String({ maxLength: 256 }))
})

const DATA_URL = /^data:([^,]{0,1024}),/i
/** What browsers say of a file that they know nothing about. */
const UNKNOWN = 'application/octet-stream'

/**
 * The files inside a body, decoded; what they are is for others to check.
 * @throws validation_error for what is no data URL and no base64, or has no type
 */
export function readUploads(uploads: readonly Static<typeof UploadBody>[] | null | undefined): ClaimedFile[] {
  return (uploads ?? []).map(({ data, name, mime }, index) => {
    const loc = ['body', 'uploads', String(index)]
    const read = decode(data)
    if (!read) throw invalid([...loc, 'data'], 'must be a data URL or base64')
    const own = read.mime === UNKNOWN || read.mime === '' ? undefined : read.mime
    const claims = [mime, own].filter((claim) => typeof claim === 'string' && claim !== '')
    if (claims.length === 0) throw invalid([...loc, 'mime'], 'is required where data is no data URL')
    return { name: name ?? '', claims: claims as string[], bytes: read.bytes }
  })
}

/** Files as Flowise takes them in JSON: data URLs with exactly one prefix. */
export function writeUploads(files: readonly FilePart[]): Upload[] {
  return files.map(({ name, mime, bytes }) => ({
    data: `data:${mime};base64,${bytes.toString('base64')}`,
    type: 'file',
    name,
    mime
  }))
}

function decode(data: string): { mime: string; bytes: Buffer } | undefined {
  const [prefix, head = ''] = DATA_URL.exec(data) ?? []
  if (prefix === undefined && /^data:/i.test(data)) return undefined
  const text = data.slice(prefix?.length ?? 0)
  const isBase64 = prefix === undefined || /;\s*base64\s*$/i.test(head)
  const bytes = isBase64 ? fromBase64(text) : fromPercents(text)
  const mime = head.split(';')[0]?.trim().toLowerCase()
  return bytes && { mime: mime ?? '', bytes }
}

/** Undefined for text with other characters: the decoder leaves them out, so the length tells. */
function fromBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length === sizeOf(text)) return bytes
  const dense = text.replaceAll(/\s/g, '')
  return dense.length < text.length && bytes.length === sizeOf(dense) ? bytes : undefined
}

function sizeOf(base64: string): number | undefined {
  const digits = base64.length - (/={0,2}$/.exec(base64.slice(-2))?.[0].length ?? 0)
  return digits % 4 === 1 ? undefined : Math.floor((digits * 3) / 4)
}

function fromPercents(text: string): Buffer | undefined {
  if (/[^\x21-\x7e]|%(?![0-9a-f]{2})/i.test(text)) return undefined
  const latin1 = text.replaceAll(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(latin1, 'latin1')
}
