import { type Db, type IndexDescription, MongoServerError } from 'mongodb'
import type { Clock } from '../../clock.ts'
import { makeTogether } from '../../repeat.ts'
import type { CollectionSpec } from '../port.ts'

const NOT_IMPLEMENTED = 238
const NO_SUCH_COLLECTION = 26

/** Makes the indexes of every collection, and with them the collections; what is there already stays. Safe to run in many processes at once. */
export async function createIndexes(db: Db, specs: CollectionSpec[], clock: Clock): Promise<void> {
  const isRace = (error: unknown) => error instanceof MongoServerError
  const sources = new Set(specs.flatMap(({ appendedFrom = [] }) => appendedFrom))
  for (const spec of specs) {
    if (spec.appendedFrom && spec.unique) throw new Error(`${spec.name} is appended to and cannot have unique members`)
    const indexes = indexesOf(spec, sources.has(spec.name))
    await makeTogether(() => createMissing(db, spec.name, indexes), { clock, isRace })
  }
}

function indexesOf({ unique = [], indexes = [], appendedFrom }: CollectionSpec, isSource: boolean): IndexDescription[] {
  return [
    ...unique.map((members) => ({
      name: `unique_${members.join('_')}`,
      key: Object.fromEntries(members.map((member) => [member, 1 as const])),
      unique: true,
      // Only documents that have all of them as texts: neither an absent member nor a null collides.
      partialFilterExpression: Object.fromEntries(members.map((member) => [member, { $gte: '' }]))
    })),
    ...indexes.map((members) => ({
      name: `by_${members.join('_')}`,
      key: Object.fromEntries([...members, '_id'].map((member) => [member, 1 as const]))
    })),
    ...(isSource ? [{ name: 'pending', key: { '%pending': 1 as const }, sparse: true }] : []),
    ...(appendedFrom ? [{ name: 'removed', key: { '%removedAt': 1 as const }, sparse: true }] : [])
  ]
}

/** Names say what an index is made of, so one that is there under its name need not be looked at. */
async function createMissing(db: Db, name: string, indexes: IndexDescription[]): Promise<void> {
  const there = await indexNames(db, name)
  for (const index of indexes) if (!there.has(index.name)) await create(db, name, index)
}

async function indexNames(db: Db, name: string): Promise<Set<string | undefined>> {
  try {
    return new Set((await db.collection(name).indexes()).map((index) => index.name))
  } catch (error) {
    if (error instanceof MongoServerError && error.code === NO_SUCH_COLLECTION) return new Set()
    throw error
  }
}

/** FerretDB has no partial indexes; in its unique ones, absent members do not collide in the first place. */
async function create(db: Db, name: string, { partialFilterExpression, ...index }: IndexDescription): Promise<void> {
  try {
    await db.collection(name).createIndexes([{ ...index, ...(partialFilterExpression && { partialFilterExpression }) }])
  } catch (error) {
    if (!(error instanceof MongoServerError) || error.code !== NOT_IMPLEMENTED) throw error
    await db.collection(name).createIndexes([index])
  }
}
