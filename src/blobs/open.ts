import { join } from 'node:path'
import type { MongoClient } from 'mongodb'
import type { Clock } from '../clock.ts'
import type { Calls } from '../store/mongo/calls.ts'
import type { Blobs } from './port.ts'
import { createSqliteBlobs } from './sqlite.ts'

/** Where the store of this installation is, which must be open: its lock and its connection are the blobs' too. */
export interface BlobsPlace {
  dataDir: string
  mongo?: { client: MongoClient; database: string; calls: Calls } | undefined
}

/**
 * Opens the blobs beside the store: GridFS in its database, or the file blobs.db in its folder. Fails with store_unavailable
 * or a sentence for the operator.
 */
export async function openBlobs({ dataDir, mongo }: BlobsPlace, clock: Clock): Promise<Blobs> {
  if (!mongo) return createSqliteBlobs({ path: join(dataDir, 'blobs.db'), clock })
  // With it comes the driver of MongoDB, which nobody else needs.
  const { createGridfsBlobs } = await import('./gridfs.ts')
  try {
    return await createGridfsBlobs({ db: mongo.client.db(mongo.database), calls: mongo.calls, clock })
  } catch (cause) {
    throw new Error('MONGODB_URL: the indexes for the bytes of files cannot be made.', { cause })
  }
}
