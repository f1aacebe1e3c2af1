import { resolve } from 'node:path'
import { openBlobs } from '../blobs/open.ts'
import type { Blobs } from '../blobs/port.ts'
import type { Clock } from '../clock.ts'
import { loadConfigFromProcess } from '../config.ts'
import { environment } from '../environment.ts'
import { type OpenedStore, type OpenOptions, openStore, type Place } from '../store/open.ts'
import { UsageError } from './command.ts'

const DATABASE_NAME = /^[A-Za-z0-9_-]{1,63}$/

/** A store that an option of the command line names. */
export interface Named {
  option: '--from' | '--to'
  /** What the operator is told instead of an address with a password. */
  name: string
  place: Place
}

/**
 * `sqlite:<folder>`, a MongoDB URL with or without a database, or one of the words `sqlite` and `mongodb`, which stand for
 * what the environment says. @throws UsageError that repeats nothing of a URL
 */
export function readPlace(option: Named['option'], value: unknown): Named {
  if (typeof value !== 'string') throw new UsageError(`${option} is missing: sqlite:<folder> or mongodb://...`)
  if (value === 'sqlite') return sqlitePlace(option, loadConfigFromProcess().dataDir)
  if (value === 'mongodb') {
    const { mongodb } = loadConfigFromProcess()
    if (!mongodb) throw new UsageError(`${option} mongodb needs MONGODB_URL.`)
    return mongoPlace(option, mongodb)
  }
  if (/^sqlite:./.test(value)) return sqlitePlace(option, value.slice('sqlite:'.length))
  const [, path] = /^mongodb(?:\+srv)?:\/\/[^/?]+(?:\/([^?]*))?/.exec(value) ?? []
  // What is not understood is not repeated: it may hold a password.
  if (!/^mongodb(\+srv)?:\/\//.test(value))
    throw new UsageError(`${option} is neither sqlite:<folder> nor mongodb://...`)
  const database = path || environment.properties.MONGODB_DATABASE_NAME.default
  if (!DATABASE_NAME.test(database))
    throw new UsageError(`${option}: a database has 1 to 63 letters, digits, dashes and underscores.`)
  return mongoPlace(option, { url: value, database })
}

/** Whether both are written alike; another spelling of one store is not seen. */
export function isSame(one: Place, other: Place): boolean {
  if (one.mongodb || other.mongodb)
    return one.mongodb?.url === other.mongodb?.url && one.mongodb?.database === other.mongodb?.database
  return resolve(one.dataDir) === resolve(other.dataDir)
}

/** A store and the files beside it. */
export interface OpenedPlace {
  store: OpenedStore
  blobs: Blobs
  close(): Promise<void>
}

/** Opens what must hold the data of a gateway. Looked at first, because opening would make what is not there. */
export async function openSource(named: Named, clock: Clock): Promise<OpenedPlace> {
  const seen = await told(named, openStore(named.place, { mode: 'inspect' }))
  const forms = await seen.collection('meta').get('schema')
  await seen.close()
  if (!forms) throw new Error(`--from: there is no gateway data in ${named.name}.`)
  return told(named, openPlace(named.place, 'serve', clock))
}

/** Opens what is to be filled, and makes it if it is not there. */
export function openTarget(named: Named, clock: Clock): Promise<OpenedPlace> {
  return told(named, openPlace(named.place, 'fill', clock))
}

/** Opens both. */
export async function openPlace(place: Place, mode: OpenOptions['mode'], clock: Clock): Promise<OpenedPlace> {
  const store = await openStore(place, { mode })
  try {
    const blobs = await openBlobs({ dataDir: place.dataDir, mongo: store.mongo }, clock)
    return {
      store,
      blobs,
      async close() {
        await blobs.close()
        await store.close()
      }
    }
  } catch (error) {
    await store.close()
    throw error
  }
}

/** Failures name the option instead of a variable. */
async function told<T>({ option }: Named, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (cause) {
    const sentence = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`${option}: ${sentence.replace(/^MONGODB_URL:? /, '')}`, { cause })
  }
}

function sqlitePlace(option: Named['option'], dataDir: string): Named {
  return { option, name: `SQLite in ${dataDir}`, place: { dataDir } }
}

function mongoPlace(option: Named['option'], mongodb: NonNullable<Place['mongodb']>): Named {
  return { option, name: `MongoDB, database ${mongodb.database}`, place: { dataDir: '', mongodb } }
}
