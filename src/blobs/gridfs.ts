import { Binary, type Db, MongoServerError, ObjectId } from 'mongodb'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import { makeTogether } from '../repeat.ts'
import type { Calls } from '../store/mongo/calls.ts'
import { createBlobs } from './blobs.ts'
import type { ChunkStore, Head } from './chunks.ts'
import type { BlobInfo, Blobs } from './port.ts'

/** Not `fs`: that bucket may be another application's in the same database. */
const BUCKET = 'blobs'
const DUPLICATE_KEY = 11_000

/** As GridFS has it; the id of the blob is the name of the file. */
interface FileDocument {
  _id: ObjectId
  length: number
  chunkSize: number
  uploadDate: Date
  filename: string
}

interface ChunkDocument {
  /** Made of the two others, so that reading finds it by `_id`, the one index that every server uses. */
  _id: string
  files_id: ObjectId
  n: number
  data: Binary
}

interface UnfinishedDocument {
  _id: ObjectId
  since: number
}

export interface GridfsOptions {
  db: Db
  /** The store's: its limit is for both. */
  calls: Calls
  clock: Clock
}

/**
 * The blobs port over MongoDB, in the format of GridFS, bucket `blobs`: its tools read it. Not through the driver's bucket,
 * which fetches a file in batches of 16 MiB and keeps a cursor open for each reader (ADR 12). @throws store_unavailable
 */
export async function createGridfsBlobs({ db, calls, clock }: GridfsOptions): Promise<Blobs> {
  const isRace = (error: unknown) => error instanceof MongoServerError
  await calls.run(() => makeTogether(() => makeIndexes(db), { clock, isRace }))
  return createBlobs({ chunks: createChunks(db, calls), clock })
}

function createChunks(db: Db, calls: Calls): ChunkStore<ObjectId> {
  const files = db.collection<FileDocument>(`${BUCKET}.files`)
  const chunks = db.collection<ChunkDocument>(`${BUCKET}.chunks`)
  const marks = db.collection<UnfinishedDocument>(`${BUCKET}.unfinished`)
  let isClosed = false

  async function run<T>(call: () => Promise<T>): Promise<T> {
    if (isClosed) throw new AppError('store_unavailable', {}, { cause: new Error('The blobs are closed') })
    return calls.run(call)
  }

  return {
    kind: 'gridfs',
    async begin(now) {
      const upload = new ObjectId()
      await run(() => marks.insertOne({ _id: upload, since: now }))
      return upload
    },
    async putChunk(upload, n, bytes) {
      const data = new Binary(bytes)
      await run(() => chunks.insertOne({ _id: chunkId(upload, n), files_id: upload, n, data }))
    },
    async publish(head) {
      const isNew = await run(() => isInserted(files.insertOne(documentOf(head))))
      // The blob is there whatever becomes of its mark.
      if (isNew) await run(() => marks.deleteOne({ _id: head.upload })).catch(() => {})
      return isNew
    },
    async head(id) {
      const found = await run(() => files.findOne({ filename: id }))
      return found === null ? undefined : headOf(found)
    },
    async chunk(upload, n) {
      const found = await run(() => chunks.findOne({ _id: chunkId(upload, n) }, { projection: { data: 1 } }))
      return found?.data.value()
    },
    async hide(id, now) {
      const found = await run(() => files.findOne({ filename: id }, { projection: { _id: 1 } }))
      if (found === null) return undefined
      const { _id } = found
      // Two removals at once may both want to insert it; either mark will do.
      await run(() => isInserted(marks.updateOne({ _id }, { $set: { since: now } }, { upsert: true })))
      return (await run(() => files.deleteOne({ _id }))).deletedCount === 1 ? _id : undefined
    },
    async dropChunks(upload) {
      await run(() => chunks.deleteMany({ files_id: upload }))
    },
    async unmark(upload, before) {
      await run(() => marks.deleteOne({ _id: upload, since: { $lt: before } }))
    },
    async unfinished(before, limit) {
      const found = await run(() => marks.find({ since: { $lt: before } }, { limit }).toArray())
      return found.map(({ _id }) => _id)
    },
    isPublished: async (upload) => (await run(() => files.findOne({ _id: upload }))) !== null,
    async list({ after = '', limit }) {
      const options = { sort: { filename: 1 as const }, limit, batchSize: limit }
      return (await run(() => files.find({ filename: { $gt: after } }, options).toArray())).map(headOf).map(infoOf)
    },
    async totalBytes() {
      const sum = { $group: { _id: null, total: { $sum: '$length' } } }
      const [found] = await run(() => files.aggregate<{ total: number }>([sum]).toArray())
      return found?.total ?? 0
    },
    async close() {
      // The connection and its calls are the store's, which waits for them.
      isClosed = true
    }
  }
}

/** The unique name is what lets one of several writes win; the index of chunks is the one GridFS demands. */
async function makeIndexes(db: Db): Promise<void> {
  await db.collection(`${BUCKET}.files`).createIndex({ filename: 1 }, { name: 'unique_filename', unique: true })
  await db.collection(`${BUCKET}.chunks`).createIndex({ files_id: 1, n: 1 }, { unique: true })
}

async function isInserted(insert: Promise<unknown>): Promise<boolean> {
  try {
    await insert
    return true
  } catch (error) {
    if (error instanceof MongoServerError && error.code === DUPLICATE_KEY) return false
    throw error
  }
}

function chunkId(upload: ObjectId, n: number): string {
  return `${upload.toHexString()}:${n}`
}

function documentOf({ id, upload, sizeBytes, chunkBytes, createdAt }: Head<ObjectId>): FileDocument {
  return { _id: upload, length: sizeBytes, chunkSize: chunkBytes, uploadDate: new Date(createdAt), filename: id }
}

function headOf({ _id, length, chunkSize, uploadDate, filename }: FileDocument): Head<ObjectId> {
  return { id: filename, upload: _id, sizeBytes: length, chunkBytes: chunkSize, createdAt: uploadDate.getTime() }
}

function infoOf({ id, sizeBytes, createdAt }: BlobInfo): BlobInfo {
  return { id, sizeBytes, createdAt }
}
