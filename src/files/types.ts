/** A type of files that is taken. */
export interface FileType {
  mime: string
  /** Endings that fit it; the first is the one that a name without any is given. */
  extensions: readonly [string, ...string[]]
  /** Images are shown in place and have thumbnails. */
  isImage?: true
  /** Known by being text, not by a signature. */
  isText?: true
}

/** All types that are taken, whether they come with a prediction or before it. */
export const fileTypes: readonly FileType[] = [
  { mime: 'image/jpeg', extensions: ['jpg', 'jpeg', 'jpe', 'jfif'], isImage: true },
  { mime: 'image/png', extensions: ['png'], isImage: true },
  { mime: 'image/gif', extensions: ['gif'], isImage: true },
  { mime: 'image/webp', extensions: ['webp'], isImage: true },
  { mime: 'application/pdf', extensions: ['pdf'] },
  { mime: 'text/plain', extensions: ['txt'], isText: true },
  { mime: 'text/csv', extensions: ['csv'], isText: true },
  { mime: 'application/msword', extensions: ['doc'] },
  { mime: 'application/vnd.openxmlformats-officedocument.wordprocessingml.document', extensions: ['docx'] }
]

/** Other names for the same, as clients send them. */
const ALIASES: Record<string, string> = { 'image/jpg': 'image/jpeg', 'image/pjpeg': 'image/jpeg' }

/** What a client calls a type, in one spelling: lower case, no parameters. */
export function normalMime(claimed: string): string {
  const mime = claimed.split(';')[0]?.trim().toLowerCase() ?? ''
  return ALIASES[mime] ?? mime
}

/** Undefined for a type that is not taken. */
export function fileTypeOf(mime: string): FileType | undefined {
  return fileTypes.find((type) => type.mime === mime)
}
