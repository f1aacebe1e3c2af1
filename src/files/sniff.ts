import { isUtf8 } from 'node:buffer'
import { fileTypeFromBuffer } from 'file-type'
import { AppError } from '../errors.ts'
import { type FileType, fileTypeOf, fileTypes, normalMime } from './types.ts'

/** In a compound document of Microsoft: the entry of its directory that makes it a Word document. */
const WORD_STREAM = Buffer.from('WordDocument\0', 'utf16le')
/** All but tab, line ends, vertical tab and form feed. */
const CONTROLS = [...Array(0x20).keys(), 0x7f].filter((code) => code < 0x09 || code > 0x0d)
const ENTRY_BYTES = 128
const ENTRY_KIND = 66
const STREAM = 2

/**
 * The type of a file: what is claimed, if the bytes are that.
 * @throws unsupported_media_type for a type that is not taken, and for bytes that are something else
 */
export async function checkType(bytes: Buffer, claims: readonly string[], types = fileTypes): Promise<FileType> {
  const [claimed, ...others] = claims.map(normalMime)
  const type = fileTypeOf(claimed ?? '', types)
  if (!type) throw new AppError('unsupported_media_type', { detail: refusalOf(types) })
  const isTrue = others.every((other) => other === claimed) && (await isOf(type, bytes))
  if (!isTrue) throw new AppError('unsupported_media_type', { detail: `The file is not what it claims: ${type.mime}.` })
  return type
}

function refusalOf(types: readonly FileType[]): string {
  return `Files must be of one of these types: ${types.map(({ mime }) => mime).join(', ')}.`
}

async function isOf(type: FileType, bytes: Buffer): Promise<boolean> {
  const found = await signatureOf(bytes)
  // Signatures are short: a table whose first column is called BMI is no bitmap, because bitmaps are no text.
  if (type.isText) return isText(bytes) && fileTypeOf(found) === undefined
  return (type.signatures ?? [type.mime]).includes(found)
}

/** What the first bytes say, and for documents what is in them; empty if nothing is known. */
export async function signatureOf(bytes: Buffer): Promise<string> {
  // What it cannot parse to its end is nothing that is taken.
  const found = normalMime((await fileTypeFromBuffer(bytes).catch(() => undefined))?.mime ?? '')
  if (found === 'image/apng') return 'image/png'
  if (found === 'application/x-cfb') return hasWordStream(bytes) ? 'application/msword' : found
  // The library asks for three letters of the six.
  if (found === 'image/gif' && !/^GIF8[79]a$/.test(bytes.toString('latin1', 0, 6))) return ''
  return found
}

/** UTF-8 without control characters but white space. A search for each of them is faster than a look at each byte. */
function isText(bytes: Buffer): boolean {
  return isUtf8(bytes) && CONTROLS.every((control) => bytes.indexOf(control) < 0)
}

/** Entries of the directory begin at multiples of their size; the same word in a text or a part does not look like one. */
function hasWordStream(bytes: Buffer): boolean {
  for (let at = bytes.indexOf(WORD_STREAM); at >= 0; at = bytes.indexOf(WORD_STREAM, at + 1))
    if (at % ENTRY_BYTES === 0 && bytes[at + ENTRY_KIND] === STREAM) return true
  return false
}
