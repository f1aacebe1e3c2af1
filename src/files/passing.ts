import { AppError } from '../errors.ts'
import type { ClaimedFile } from './arrival.ts'
import { fittingName, safeName } from './names.ts'
import { checkType } from './sniff.ts'
import { audioTypes, claimOf, documentTypes, type FileType, normalMime } from './types.ts'

/** As Flowise names them: a text for the question, a document that was indexed before, a voice message. */
export type PassedKind = 'file:full' | 'file:rag' | 'audio'

/** A file that Flowise gets and nobody keeps. */
export interface PassedFile extends ClaimedFile {
  kind: PassedKind
}

/** One that has been checked, named so that the name says what it is. */
export interface CheckedFile {
  kind?: PassedKind
  name: string
  mime: string
  bytes: Buffer
}

const MIME = /^[\w.+-]{1,100}\/[\w.+-]{1,100}$/

/**
 * Documents for Flowise to read; `allowed` narrows the types.
 * @throws file_too_large, unsupported_media_type
 */
export function checkDocuments(
  files: readonly ClaimedFile[],
  { maxFileBytes, allowed = 'any' }: { maxFileBytes: number; allowed?: readonly string[] | 'any' }
): Promise<CheckedFile[]> {
  const names = allowed === 'any' ? undefined : allowed.map(normalMime)
  const types = names ? documentTypes.filter(({ mime }) => names.includes(mime)) : documentTypes
  return inTurn(files, async (file) => check(file, types, maxFileBytes))
}

/** Files inside a prediction that go through it. @throws file_too_large, unsupported_media_type */
export function checkPassed(files: readonly PassedFile[], maxFileBytes: number): Promise<CheckedFile[]> {
  return inTurn(files, async (file) => {
    const { kind, name, claims, bytes } = file
    if (kind === 'audio') return { ...(await check(file, audioTypes, maxFileBytes)), kind }
    if (kind === 'file:rag') return { ...(await check(file, documentTypes, maxFileBytes)), kind }
    requireSize(bytes, maxFileBytes)
    // It is a text by now, whatever the document was.
    const mime = normalMime(claims[0] ?? '')
    return { kind, name: safeName(name), mime: MIME.test(mime) ? mime : 'text/plain', bytes }
  })
}

async function check(
  { name, claims, bytes }: ClaimedFile,
  types: readonly FileType[],
  maxFileBytes: number
): Promise<CheckedFile> {
  requireSize(bytes, maxFileBytes)
  const claimed = claims.map((mime) => claimOf({ name, mime }, types))
  const { mime } = await checkType(bytes, claimed, types)
  return { name: fittingName(safeName(name), mime, types), mime, bytes }
}

function requireSize(bytes: Buffer, maxFileBytes: number): void {
  if (bytes.length > maxFileBytes)
    throw new AppError('file_too_large', { detail: `A file may have at most ${maxFileBytes} bytes.` })
}

/** One after the other: what is in a document is looked for in this thread. */
async function inTurn<F, R>(files: readonly F[], work: (file: F) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (const file of files) results.push(await work(file))
  return results
}
