import { invalid } from '../errors.ts'
import type { ClaimedFile } from '../files/arrival.ts'
import type { PassedFile } from '../files/passing.ts'
import { Members, Nullable, type Static, Type } from '../schema.ts'
import type { FilePart } from './request.ts'
import type { PredictionBody } from './prediction.ts'

const optional = <T extends Parameters<typeof Nullable>[0]>(schema: T) => Type.Optional(Nullable(schema))

/** A file inside a prediction, in the form of Flowise. */
export const UploadBody = Members({
  data: Type.String({ description: 'a data URL, or base64 with `mime` beside it' }),
  type: optional(Type.Literal('file')),
  name: optional(Type.String({ maxLength: 1024 })),
  mime: optional(Type.String({ maxLength: 256 }))
})

/** The same on Flowise's own path, where there are more kinds. */
export const FlowiseUploadBody = Members({
  ...UploadBody.properties,
  data: Type.String({ description: 'a data URL; the text itself where type is file:full' }),
  type: optional(Type.String({ maxLength: 32, description: 'file, file:full, file:rag or audio' }))
})
export type FlowiseUpload = Static<typeof FlowiseUploadBody>

const KINDS: readonly string[] = ['file', 'file:full', 'file:rag', 'audio']
const DATA_URL = /^data:([^,]{0,1024}),/i
/** What browsers say of a file that they know nothing about. */
const UNKNOWN = 'application/octet-stream'
/** A multiple of three, which base64 makes four of. */
const PIECE_BYTES = 3 * 16_384

/**
 * The files inside a body, decoded; what they are is for others to check.
 * @throws validation_error for what is no data URL and no base64, or has no type
 */
export function readUploads(
  uploads: readonly Omit<Static<typeof UploadBody>, 'type'>[] | null | undefined,
  first = 0
): ClaimedFile[] {
  return (uploads ?? []).map(({ data, name, mime }, index) => {
    const loc = ['body', 'uploads', String(first + index)]
    const read = decode(data)
    if (!read) throw invalid([...loc, 'data'], 'must be a data URL or base64')
    const own = read.mime === UNKNOWN || read.mime === '' ? undefined : read.mime
    const claims = [mime, own].filter((claim) => typeof claim === 'string' && claim !== '')
    if (claims.length === 0) throw invalid([...loc, 'mime'], 'is required where data is no data URL')
    return { name: name ?? '', claims: claims as string[], bytes: read.bytes }
  })
}

/**
 * The files of a body on Flowise's own path: those that are kept, and those that go through.
 * @throws validation_error also for kinds that are not taken: with them Flowise would fetch addresses
 */
export function readFlowiseUploads(uploads: readonly FlowiseUpload[] | null | undefined): {
  files: ClaimedFile[]
  passed: PassedFile[]
} {
  const files: ClaimedFile[] = []
  const passed: PassedFile[] = []
  for (const [index, { type, ...upload }] of (uploads ?? []).entries()) {
    if (!KINDS.includes(type ?? 'file'))
      throw invalid(['body', 'uploads', String(index), 'type'], `must be one of ${KINDS.join(', ')}`)
    if (type === 'file:full') passed.push(textOf(upload))
    else {
      const [file] = readUploads([upload], index)
      if (file && (type === 'audio' || type === 'file:rag')) passed.push({ ...file, kind: type })
      else if (file) files.push(file)
    }
  }
  return { files, passed }
}

/** Documents bring characters along that nobody can ask about. */
function textOf({ data, name, mime }: Omit<FlowiseUpload, 'type'>): PassedFile {
  const bytes = Buffer.from(data.replaceAll('\u0000', ''))
  return { kind: 'file:full', name: name ?? '', claims: mime ? [mime] : [], bytes }
}

/** A body on its way to Flowise; with files it comes in pieces, which are made when they are sent. */
export interface Encoded {
  contentType: string
  sizeBytes: number
  payload: Buffer | Iterable<Buffer>
}

/**
 * A prediction as Flowise takes it in JSON, its files as data URLs with exactly one prefix. They are written piece by piece:
 * to make one text of them all would stop everybody else for as long.
 */
export function encodeJson(body: PredictionBody, files: readonly FilePart[]): Encoded {
  const contentType = 'application/json'
  const text = JSON.stringify(body)
  if (files.length === 0) {
    const payload = Buffer.from(text)
    return { contentType, sizeBytes: payload.length, payload }
  }
  const uploads = files.map(({ kind = 'file', name, mime, bytes }, index) => {
    const isText = kind === 'file:full'
    const tail = `,"type":"${kind}","name":${JSON.stringify(name)},"mime":${JSON.stringify(mime)}}`
    return {
      head: Buffer.from(`${index === 0 ? '' : ','}{"data":${isText ? '' : `"data:${mime};base64,`}`),
      isText,
      bytes: isText ? Buffer.from(JSON.stringify(bytes.toString())) : bytes,
      tail: Buffer.from(isText ? tail : `"${tail}`)
    }
  })
  const head = Buffer.from(`${text.slice(0, -1)},"uploads":[`)
  const tail = Buffer.from(']}')
  const sizes = uploads.map(
    ({ isText, bytes, ...one }) =>
      one.head.length + (isText ? bytes.length : 4 * Math.ceil(bytes.length / 3)) + one.tail.length
  )
  return {
    contentType,
    sizeBytes: sizes.reduce((sum, size) => sum + size, head.length + tail.length),
    payload: pieces()
  }

  function* pieces(): Generator<Buffer> {
    yield head
    for (const upload of uploads) {
      yield upload.head
      if (upload.isText) yield upload.bytes
      else
        for (let at = 0; at < upload.bytes.length; at += PIECE_BYTES)
          yield Buffer.from(upload.bytes.toString('base64', at, at + PIECE_BYTES), 'latin1')
      yield upload.tail
    }
    yield tail
  }
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
