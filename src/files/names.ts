import { type FileType, fileTypeOf } from './types.ts'

const MAX_CHARACTERS = 200

/** What a client calls a file, without its path and without what could deceive: control and direction characters. */
export function safeName(name: string | null | undefined): string {
  const last = (name ?? '').split(/[/\\]/).at(-1) ?? ''
  const visible = last
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '')
    .trim()
  const short = Array.from(visible).slice(0, MAX_CHARACTERS).join('')
  return /^\.*$/.test(short) ? 'file' : short
}

/** The name with an ending that says what the file is: Flowise compares the two, and so do the people who open it. */
export function fittingName(name: string, mime: string, types?: readonly FileType[]): string {
  const extensions = fileTypeOf(mime, types)?.extensions ?? ['bin']
  const ending = /\.([^.]+)$/.exec(name)?.[1]?.toLowerCase()
  return ending !== undefined && extensions.some((fitting) => fitting === ending) ? name : `${name}.${extensions[0]}`
}

/** The header, with the name in ASCII for old clients and in UTF-8 for all others. @see RFC 6266, RFC 8187 */
export function contentDisposition(kind: 'inline' | 'attachment', name: string): string {
  const ascii = name.replaceAll(/[^\x20-\x7e]|["\\%]/gu, '_')
  const encoded = encodeURIComponent(name).replaceAll(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`
  )
  return `${kind}; filename="${ascii}"; filename*=UTF-8''${encoded}`
}
