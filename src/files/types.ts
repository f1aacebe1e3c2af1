/** A type of files that is taken. */
export interface FileType {
  mime: string
  /** Endings that fit it; the first is the one that a name without any is given. */
  extensions: readonly [string, ...string[]]
  /** Images are shown in place and have thumbnails. */
  isImage?: true
  /** Known by being text, not by a signature. */
  isText?: true
  /** What its signature is called, where that is not its own name. */
  signatures?: readonly string[]
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

const OFFICE = 'application/vnd.openxmlformats-officedocument'
const textTypes: readonly FileType[] = [
  { mime: 'text/plain', extensions: ['txt'], isText: true },
  { mime: 'text/csv', extensions: ['csv'], isText: true },
  { mime: 'text/markdown', extensions: ['md', 'markdown'], isText: true },
  { mime: 'text/html', extensions: ['html', 'htm'], isText: true },
  { mime: 'text/css', extensions: ['css'], isText: true },
  { mime: 'text/x-yaml', extensions: ['yaml', 'yml'], isText: true },
  { mime: 'application/json', extensions: ['json'], isText: true },
  { mime: 'application/xml', extensions: ['xml'], isText: true },
  { mime: 'application/sql', extensions: ['sql'], isText: true }
]

/** What Flowise can read the text of, or index; nothing of it is kept here or shown. */
export const documentTypes: readonly FileType[] = [
  ...textTypes,
  { mime: 'application/pdf', extensions: ['pdf'] },
  { mime: 'application/msword', extensions: ['doc'] },
  { mime: `${OFFICE}.wordprocessingml.document`, extensions: ['docx'] },
  { mime: `${OFFICE}.spreadsheetml.sheet`, extensions: ['xlsx'] },
  { mime: `${OFFICE}.presentationml.presentation`, extensions: ['pptx'] }
]

/** What browsers record; containers for pictures are containers for sound too. */
export const audioTypes: readonly FileType[] = [
  { mime: 'audio/webm', extensions: ['webm'], signatures: ['audio/webm', 'video/webm'] },
  { mime: 'audio/mp4', extensions: ['m4a', 'mp4'], signatures: ['audio/mp4', 'audio/x-m4a', 'video/mp4'] },
  { mime: 'audio/ogg', extensions: ['ogg', 'oga', 'opus'], signatures: ['audio/ogg', 'video/ogg', 'application/ogg'] },
  { mime: 'audio/wav', extensions: ['wav'], signatures: ['audio/wav', 'audio/vnd.wave'] },
  { mime: 'audio/mpeg', extensions: ['mp3'], signatures: ['audio/mpeg'] }
]

/** Other names for the same, as clients send them. */
const ALIASES: Record<string, string> = {
  'image/jpg': 'image/jpeg',
  'image/pjpeg': 'image/jpeg',
  'text/xml': 'application/xml',
  'text/yaml': 'text/x-yaml',
  'application/yaml': 'text/x-yaml',
  'application/x-yaml': 'text/x-yaml',
  'text/x-markdown': 'text/markdown',
  'application/x-sql': 'application/sql',
  'audio/x-m4a': 'audio/mp4',
  'audio/m4a': 'audio/mp4',
  'audio/oga': 'audio/ogg',
  'audio/wave': 'audio/wav',
  'audio/x-wav': 'audio/wav',
  'audio/vnd.wave': 'audio/wav',
  'audio/mp3': 'audio/mpeg'
}
/** What browsers say of a file that they know nothing about. */
const UNKNOWN: readonly string[] = ['', 'application/octet-stream']

/** What a client calls a type, in one spelling: lower case, no parameters. */
export function normalMime(claimed: string): string {
  const mime = claimed.split(';')[0]?.trim().toLowerCase() ?? ''
  return ALIASES[mime] ?? mime
}

/** Undefined for a type that is not taken, or is none of `types`. */
export function fileTypeOf(mime: string, types: readonly FileType[] = fileTypes): FileType | undefined {
  return types.find((type) => type.mime === mime)
}

/** What a client says a file is: the type that it names or, where it knows none, the one that the ending of the name does. */
export function claimOf({ name, mime }: { name: string; mime: string }, types: readonly FileType[]): string {
  const claimed = normalMime(mime)
  if (!UNKNOWN.includes(claimed)) return claimed
  const ending = /\.([^.]+)$/.exec(name)?.[1]?.toLowerCase()
  return types.find(({ extensions }) => extensions.some((fitting) => fitting === ending))?.mime ?? claimed
}
