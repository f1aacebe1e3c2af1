import { isoInstant } from '../clock.ts'
import { Id, Instant, Members, type Static, Type } from '../schema.ts'
import type { FileRow } from '../store/collections.ts'
import { fileTypeOf } from './types.ts'

const PATH = '/api/v1/chat/files'
const listed = {
  file_id: Id,
  name: Type.String(),
  mime: Type.String(),
  size: Type.Integer({ description: 'bytes' }),
  url: Type.String({ description: 'absolute when PUBLIC_BASE_URL is set, else a path' }),
  thumbnail_url: Type.Optional(Type.String({ description: 'images only' }))
}
const ListedFile = Members(listed)

/** A file in a list of files. */
export const FileBody = Members({ ...listed, created_at: Instant })

/** A file as a message lists it; `baseUrl` is what comes before the path. */
export function listedFile({ id, name, mime, sizeBytes }: FileRow, baseUrl = ''): Static<typeof ListedFile> {
  const url = `${baseUrl}${PATH}/${encodeURIComponent(id)}`
  const isImage = fileTypeOf(mime)?.isImage === true
  return { file_id: id, name, mime, size: sizeBytes, url, ...(isImage ? { thumbnail_url: `${url}/thumbnail` } : {}) }
}

/** The files of a message, but for those that are gone. */
export function listedFiles(
  ids: readonly string[] | undefined,
  present: ReadonlyMap<string, FileRow>,
  baseUrl?: string
): Static<typeof ListedFile>[] {
  const rows = (ids ?? []).map((id) => present.get(id))
  return rows.flatMap((row) => (row ? [listedFile(row, baseUrl)] : []))
}

/** A file as its owner sees it in a list. */
export function fileView(row: FileRow, baseUrl?: string): Static<typeof FileBody> {
  return { ...listedFile(row, baseUrl), created_at: isoInstant(row.createdAt) }
}
