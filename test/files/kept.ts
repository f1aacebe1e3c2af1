import type { FileRow, FileUsageRow } from '../../src/store/collections.ts'
import type { TestApp } from '../helper.ts'
import { uploadForm } from './samples.ts'

const FILES = '/api/v1/chat/files'

/** What there is of files, read past the API: rows, ids of bytes, and what a user's files are counted as. */
export async function keptFiles({ app }: Pick<TestApp, 'app'>, userId?: string) {
  const rows = await app.store.collection<FileRow>('files').list({ limit: 1000 })
  const blobs = await app.blobs.list({ limit: 1000 })
  const usage = userId ? await app.store.collection<FileUsageRow>('file_usage').get(userId) : undefined
  return { rows, blobs: blobs.map(({ id }) => id), bytes: usage?.bytes ?? 0, files: usage?.files ?? 0, usage }
}

/** Nothing of any file is left, nor counted. */
export const NOTHING = { rows: [], blobs: [], bytes: 0, files: 0 }

/** Sends a file as a form; answers the reply. */
export function upload(
  { request }: Pick<TestApp, 'request'>,
  token: string,
  file: Parameters<typeof uploadForm>[0],
  { fields = {} }: { fields?: Record<string, string> } = {}
) {
  return request('POST', FILES, { token, ...uploadForm(file, fields) })
}

/** A text file of this many bytes. */
export function textFile(sizeBytes: number, name = 'a.txt') {
  return { name, mime: 'text/plain', bytes: Buffer.alloc(sizeBytes, 'x') }
}
