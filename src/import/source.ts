import type { Readable } from 'node:stream'
import { GridFSBucket, MongoClient, MongoGridFSChunkError, MongoServerError, ObjectId, type Sort } from 'mongodb'
import type { SourceDocument } from './values.ts'

/** Collections that only the proxy has; those whose names are also ours are not among them. */
const PROXY_COLLECTIONS = [
  'Chatflow',
  'UserChatflow',
  'user_chatflows',
  'chat_sessions',
  'chat_messages',
  'file_uploads',
  'RefreshToken'
]
const BATCH = 200
const CONNECT_MS = 5_000

/** The database of a proxy, to be read only. */
export interface Source {
  /** Whether there are collections of the proxy. */
  isProxy(): Promise<boolean>
  /** All documents of a collection, none if it is not there, fetched as they are taken. @throws SourceError */
  documents(collection: string, order?: Sort): AsyncGenerator<SourceDocument>
  /** The bytes of a file in its bucket; undefined if they are not whole. @throws SourceError */
  bytes(id: ObjectId): Promise<Buffer | undefined>
  close(): Promise<void>
}

/** The source cannot be read; its sentence names neither address nor password. */
export class SourceError extends Error {
  override readonly name = 'SourceError'
}

/** Connects to the database. @throws SourceError */
export async function openSource({ url, database }: { url: string; database: string }): Promise<Source> {
  const client = await connect(url)
  const db = client.db(database)
  const bucket = new GridFSBucket(db)

  async function* documents(collection: string, order: Sort = { _id: 1 }): AsyncGenerator<SourceDocument> {
    // A sort without an index may need more memory than a server gives it.
    const options = { batchSize: BATCH, allowDiskUse: true }
    const cursor = db.collection(collection).find({}, options).sort(order)
    try {
      for (;;) {
        const document = await reading(cursor.next())
        if (document === null) return
        yield document
      }
    } finally {
      await cursor.close().catch(() => {})
    }
  }

  return {
    documents,
    async isProxy() {
      const known = await reading(db.listCollections({}, { nameOnly: true }).toArray())
      return known.some(({ name }) => PROXY_COLLECTIONS.includes(name))
    },
    bytes: (id) => reading(wholeOf(bucket.openDownloadStream(id))),
    close: () => client.close()
  }
}

async function connect(url: string): Promise<MongoClient> {
  try {
    // One text that is not UTF-8 would make the whole batch unreadable.
    const options = { serverSelectionTimeoutMS: CONNECT_MS, connectTimeoutMS: CONNECT_MS, enableUtf8Validation: false }
    return await reading(new MongoClient(url, options).connect())
  } catch (error) {
    if (error instanceof SourceError) throw error
    throw new SourceError('The source cannot be read: its address is no MongoDB connection string.', { cause: error })
  }
}

async function wholeOf(stream: Readable): Promise<Buffer | undefined> {
  const parts: Buffer[] = []
  try {
    for await (const part of stream) parts.push(part)
    return Buffer.concat(parts)
  } catch (error) {
    if (error instanceof MongoGridFSChunkError) return undefined
    throw error
  }
}

async function reading<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (cause) {
    const reason =
      cause instanceof MongoServerError
        ? `the server refused: ${cause.codeName ?? cause.code}`
        : 'no MongoDB answers there, or it went away'
    throw new SourceError(`The source cannot be read: ${reason}. Repeat the command to go on.`, { cause })
  }
}
