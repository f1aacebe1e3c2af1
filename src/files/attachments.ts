import { AppError } from '../errors.ts'
import type { FileRow } from '../store/collections.ts'
import type { Arrival, ClaimedFile } from './arrival.ts'
import type { Files } from './files.ts'
import { fittingName } from './names.ts'
import type { CheckedFile } from './passing.ts'

/** A file with its bytes, named so that the name says what it is. */
export type OpenedFile = CheckedFile

/** The files of one question: those that come with it, then those that were there. */
export interface Attachments {
  readonly rows: readonly FileRow[]
  /** Stores what came and reads what was there. @throws file_not_found, store_unavailable */
  open(): Promise<OpenedFile[]>
  /** The message that names them is stored. @throws store_unavailable */
  keep(): Promise<void>
  /** Takes away what came, unless it is kept. */
  giveUp(): Promise<void>
}

export interface AttachOptions {
  userId: string
  sessionId: string
  /** What comes with the question. */
  files: readonly ClaimedFile[]
  /** What was there before it. */
  fileIds: readonly string[]
  /** What is passed on and not kept. */
  passed?: readonly CheckedFile[]
}

/**
 * Checks the files of a question and takes the place of those that come with it; nothing else happens yet.
 * @throws file_not_found, file_too_large, unsupported_media_type, file_quota_exceeded
 */
export async function attach(
  files: Files,
  { userId, sessionId, files: uploads, fileIds, passed = [] }: AttachOptions
): Promise<Attachments> {
  const present = await files.present(userId, fileIds)
  const earlier = fileIds.map((id) => {
    const row = present.get(id)
    if (!row) throw new AppError('file_not_found', { detail: 'One of file_ids is unknown.' })
    return row
  })
  const arrival: Arrival = await files.arrive({ userId, files: uploads, sessionId })
  let coming = uploads.map(({ bytes }) => bytes)
  let passing = passed
  return {
    rows: [...arrival.rows, ...earlier],
    async open() {
      await arrival.store()
      const opened = arrival.rows.map((row, index) => openedFile(row, coming[index]))
      // The answer may take an hour; nobody needs the bytes any more than they are sent.
      coming = []
      for (const row of earlier) opened.push(openedFile(row, await files.bytes(row)))
      opened.push(...passing)
      passing = []
      return opened
    },
    async keep() {
      // One that its owner has deleted meanwhile is no longer listed; Flowise has it already.
      await Promise.all([arrival.keep({ isUsed: true }), ...earlier.map((row) => files.use(row, sessionId))])
    },
    giveUp: arrival.giveUp
  }
}

function openedFile({ name, mime }: FileRow, bytes: Buffer = Buffer.alloc(0)): OpenedFile {
  return { name: fittingName(name, mime), mime, bytes }
}
