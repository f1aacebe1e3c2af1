import { contentDisposition, safeName } from './names.ts'
import { signatureOf } from './sniff.ts'
import { audioTypes, fileTypes } from './types.ts'

const OTHER = 'application/octet-stream'
/** What is shown in place: no markup, and nothing that can hold any. */
const SHOWN = [
  ...fileTypes.filter(({ isImage }) => isImage).map(({ mime }) => ({ mime, signatures: [mime] })),
  ...audioTypes.map(({ mime, signatures = [mime] }) => ({ mime, signatures }))
]

/**
 * How a file that somebody else keeps is sent on: as the type that its first bytes say. Images and sound may be shown
 * in place, everything else is a download of bytes.
 */
export async function storedFileHeaders(
  name: string,
  head: Buffer,
  { isDownload }: { isDownload: boolean }
): Promise<Record<string, string>> {
  const found = await signatureOf(head)
  const shown = SHOWN.find(({ signatures }) => signatures.includes(found))
  const kind = shown && !isDownload ? 'inline' : 'attachment'
  return {
    'content-type': shown?.mime ?? OTHER,
    'content-disposition': contentDisposition(kind, safeName(name)),
    'cache-control': 'private, max-age=3600',
    vary: 'Authorization',
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'; sandbox"
  }
}

/** True for the name of a file alone, which cannot lead anywhere else. */
export function isPlainName(name: string): boolean {
  return !/[/\\\p{Cc}]/u.test(name) && !/^\.{0,2}$/.test(name)
}
