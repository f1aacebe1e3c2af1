import {
  type Db,
  MongoAPIError,
  MongoClient,
  MongoCompatibilityError,
  type MongoClientOptions,
  MongoParseError,
  MongoServerError
} from 'mongodb'
import type { Clock } from '../../clock.ts'
import type { CollectionSpec, Store } from '../port.ts'
import { type Calls, createCalls } from './calls.ts'
import { createIndexes } from './schema.ts'
import { createMongoStore } from './store.ts'

/** Connections, unless the URL says `maxPoolSize`. */
const POOL_SIZE = 50
/** Calls under way per connection before the rest is refused at once. */
const CALLS_PER_CONNECTION = 20
/** For the first answer of a server that has taken the connection. */
const FIRST_ANSWER_MS = 5_000
const UNAUTHORIZED = 13
const AUTHENTICATION_FAILED = 18

export interface MongoAddress {
  /** A MongoDB connection string; its options win over the defaults here. */
  url: string
  database: string
}

export interface ConnectOptions {
  specs: CollectionSpec[]
  clock: Clock
}

export interface MongoConnection {
  store: Store
  client: MongoClient
  /** Every call over the client counts among these. */
  calls: Calls
  /** Makes the collections and their indexes; the store is for reading only before. */
  makeIndexes(): Promise<void>
}

/**
 * Connects to the server. Fails within seconds, with a sentence for the operator that names MONGODB_URL and neither address
 * nor password.
 */
export async function connectMongo(
  { url, database }: MongoAddress,
  { specs, clock }: ConnectOptions
): Promise<MongoConnection> {
  const client = clientOf(url)
  const db = client.db(database)
  const told = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work
    } catch (error) {
      await client.close().catch(() => {})
      throw new Error(sentenceFor(error, database), { cause: error })
    }
  }
  await told(client.connect().then(() => firstAnswer(db)))
  // 0 is a pool without a limit; the calls have one all the same.
  const calls = createCalls((client.options.maxPoolSize || POOL_SIZE) * CALLS_PER_CONNECTION)
  const disconnect = () => client.close()
  return {
    store: createMongoStore({ db, specs, clock, calls, disconnect }),
    client,
    calls,
    makeIndexes: () => told(createIndexes(db, specs, clock))
  }
}

/** The first call that needs rights in this database; a ping needs none. */
async function firstAnswer(db: Db): Promise<void> {
  const signal = AbortSignal.timeout(FIRST_ANSWER_MS)
  await db.collection('meta').findOne({}, { projection: { _id: 1 }, signal })
}

function clientOf(url: string): MongoClient {
  try {
    const client = new MongoClient(url, { ...defaults(url), ...fixed })
    if (client.options.writeConcern?.w === 0) throw new MongoParseError('w=0 leaves writes unanswered')
    return client
  } catch (error) {
    throw new Error(`MONGODB_URL cannot be read: ${reasonOf(error, url)}.`, { cause: error })
  }
}

/** Options given in code win over those of the URL: a default is given only where the URL says nothing. */
function defaults(url: string): MongoClientOptions {
  const isSaid = (name: string) => new RegExp(`[?&]${name}=`, 'i').test(url)
  const options = {
    maxPoolSize: POOL_SIZE,
    waitQueueTimeoutMS: 2_000,
    serverSelectionTimeoutMS: 3_000,
    connectTimeoutMS: 3_000,
    socketTimeoutMS: 10_000,
    heartbeatFrequencyMS: 2_000
  }
  const unsaid = Object.entries(options).filter(([name]) => !isSaid(name))
  return {
    ...Object.fromEntries(unsaid),
    // Acknowledged means: on the disk, and on so many members that no election takes it back. Each for itself: many URLs say
    // `w`, and mean nothing about the disk.
    ...(isSaid('w') ? {} : { w: 'majority' }),
    ...(isSaid('journal') || isSaid('j') ? {} : { journal: true })
  }
}

/** What the ledger relies on: no write twice behind its back, no read of an old state. */
const fixed: MongoClientOptions = { retryWrites: false, readPreference: 'primary', appName: 'flowise-gateway' }

function sentenceFor(error: unknown, database: string): string {
  if (error instanceof MongoServerError && error.code === AUTHENTICATION_FAILED)
    return 'MONGODB_URL: the server refuses this user or password.'
  if (error instanceof MongoServerError && error.code === UNAUTHORIZED)
    return `MONGODB_URL: this user may not read, write and make indexes in the database ${database}.`
  if (error instanceof MongoServerError) return `MONGODB_URL: the server refused: ${error.codeName ?? error.code}.`
  if (error instanceof Error && error.cause instanceof MongoCompatibilityError)
    return 'MONGODB_URL: the server is too old for this gateway.'
  if (error instanceof MongoAPIError) return 'MONGODB_URL: its options contradict each other or are not supported.'
  if (isOfFile(error)) return 'MONGODB_URL: a file that its options name cannot be read.'
  return 'MONGODB_URL: no MongoDB answers there. Check host, port, TLS and firewall, and that the server runs.'
}

function isOfFile(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && error.syscall === 'open'
}

/** The driver's reasons name options, and at their end values, which are kept to ourselves, as is anything else. */
function reasonOf(error: unknown, url: string): string {
  // Then the driver takes a part of the password for a host or an option.
  if (/^[^@]*[/?].*@/.test(url.replace(/^[^:]*:\/\//, '')))
    return 'characters like / and ? in a password are written as %2F and %3F'
  if (!(error instanceof MongoParseError)) return 'it is no MongoDB connection string'
  return error.message.replace(/,? got:? .*$/s, '').replace(/\.$/, '')
}
