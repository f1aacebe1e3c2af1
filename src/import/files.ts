import { ObjectId } from 'mongodb'
import type { FileRow, SessionRow } from '../store/collections.ts'
import { inParallel } from './parallel.ts'
import type { People } from './people.ts'
import type { Report } from './report.ts'
import type { ImportParts } from './rules.ts'
import type { NamedFiles } from './sessions.ts'
import { documentIdOf, idOf, instantOf, labelOf, membersOf, numberOf, type SourceDocument, textOf } from './values.ts'

/** What a document of `file_uploads` says of a file; several may say it of one. */
interface Upload {
  label: string
  user: unknown
  session: string | undefined
  name: string | undefined
  mime: string | undefined
}

const IMPORTED = 'imported'
const UNCHANGED = 'unchanged'
/** Files in memory at once. */
const AT_ONCE = 3
/** Left over when a stream failed. */
const LEFT_OVER = 'temp_user_message'
/** Ids of files that were addresses only. */
const ADDRESS = /^url_/

/** Brings the files that belong to a conversation: their rows, counted, and their bytes. */
export async function importFiles(
  parts: ImportParts,
  { people, named }: { people: People; named: NamedFiles },
  report: Report
): Promise<void> {
  const { source, target, blobs, files: rules } = parts
  const rows = target.collection<FileRow>('files')
  const sessions = target.collection<SessionRow>('sessions')
  const counter = report.counter('files')
  const uploadCounter = report.counter('file_uploads')
  const uploads = await readUploads(parts, report)

  async function take(document: SourceDocument): Promise<void> {
    counter.read()
    const id = documentIdOf(document) ?? ''
    const own = uploads.get(id) ?? []
    uploads.delete(id)
    const outcome = await bring(document, own)
    for (const [each, labels] of [
      [counter, [labelOf(document)]] as const,
      [uploadCounter, own.map(({ label }) => label)] as const
    ])
      for (const label of labels)
        if (outcome === IMPORTED) each.imported()
        else if (outcome === UNCHANGED) each.unchanged()
        else each.skip(label, outcome)
  }

  /** What became of it, or why nothing did. */
  async function bring(document: SourceDocument, own: readonly Upload[]): Promise<string> {
    const { _id } = document
    if (!(_id instanceof ObjectId)) return 'its _id is no ObjectId'
    const metadata = membersOf(document.metadata)
    const owner = people.find(metadata.user_id ?? userOf(own))
    if (owner === undefined) return 'there is no such user, or there are two'
    const id = _id.toHexString()
    const theirs = own.filter(({ user }) => people.find(user) === owner)
    const sessionIds = await sessionsOf(id, owner.id, theirs)
    if (sessionIds.length === 0) return 'it belongs to no conversation of its owner'
    const known = await rows.get(id)
    if (known?.state === 'kept' && known.userId === owner.id) return UNCHANGED
    if (known && (known.state === 'leaving' || known.userId !== owner.id)) return 'it is being deleted here'
    if ((numberOf(document.length) ?? 0) > rules.maxFileBytes) return 'it is larger than MAX_FILE_MB'
    const bytes = await source.bytes(_id)
    if (bytes === undefined || bytes.length !== numberOf(document.length)) return 'its bytes are not whole'
    const [upload] = theirs
    const claimed = upload?.mime ?? textOf(metadata.mime_type ?? metadata.content_type ?? document.contentType)
    const mime = await rules.typeOf(bytes, claimed)
    if (mime === undefined) return 'its type is none of those that are taken'
    const name = upload?.name ?? textOf(metadata.original_name ?? document.filename)
    const createdAt = instantOf(document, 'uploadDate')
    await store({ id, userId: owner.id, name: rules.safeName(name), mime, createdAt }, { bytes, sessionIds, known })
    return IMPORTED
  }

  /** The row first, the bytes, and then both are there: as with every file, so that nothing is left of half a one. */
  async function store(file: Pick<FileRow, 'id' | 'userId' | 'name' | 'mime' | 'createdAt'>, rest: Rest) {
    const { bytes, sessionIds, known } = rest
    const row: FileRow = {
      ...file,
      sizeBytes: bytes.length,
      sha256: rules.sha256(bytes),
      state: 'arriving',
      stateAt: parts.now(),
      version: 0,
      isUsed: true,
      sessions: Object.fromEntries(sessionIds.map((sessionId) => [rules.sessionKey(sessionId), sessionId]))
    }
    if (!known && !(await rules.take(file.userId, [row])))
      throw new Error(`The target does not take the file ${file.id}`)
    await blobs.write(file.id, bytes, { maxBytes: bytes.length, createdAt: file.createdAt })
    await rows.update(
      file.id,
      { equal: { state: 'arriving' } },
      { set: { state: 'kept', stateAt: parts.now() }, inc: { version: 1 } }
    )
  }

  /** Those whose messages name it, else those it was uploaded for. */
  async function sessionsOf(fileId: string, userId: string, own: readonly Upload[]): Promise<string[]> {
    const naming = named.get(fileId)?.find((one) => one.userId === userId)
    if (naming) return [...naming.sessionIds]
    const found: string[] = []
    for (const id of new Set(own.map(({ session }) => session)))
      if (id !== undefined && (await sessions.get(id))?.userId === userId) found.push(id)
    return found
  }

  await inParallel(source.documents('fs.files'), take, AT_ONCE)
  for (const own of uploads.values())
    for (const { label } of own) uploadCounter.skip(label, 'there are no bytes of its file')
}

/** Of a file that does not name its owner: whom all its uploads name. */
function userOf(own: readonly Upload[]): unknown {
  const users = new Set(own.map(({ user }) => idOf(user)))
  return users.size === 1 ? [...users][0] : undefined
}

interface Rest {
  bytes: Buffer
  sessionIds: string[]
  /** Left by an import that was interrupted. */
  known: FileRow | undefined
}

async function readUploads({ source }: ImportParts, report: Report): Promise<Map<string, Upload[]>> {
  const counter = report.counter('file_uploads')
  const uploads = new Map<string, Upload[]>()
  for await (const document of source.documents('file_uploads')) {
    counter.read()
    const label = labelOf(document)
    const id = idOf(document.file_id)
    if (id === undefined) counter.skip(label, 'it has no file id')
    else if (ADDRESS.test(id)) counter.skip(label, 'it is an address without bytes')
    else {
      const upload = {
        label,
        user: document.user_id,
        session: document.message_id === LEFT_OVER ? undefined : idOf(document.session_id),
        name: textOf(document.original_name),
        mime: textOf(document.mime_type)
      }
      uploads.set(id, [...(uploads.get(id) ?? []), upload])
    }
  }
  return uploads
}
