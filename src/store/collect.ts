import type { Collection, Document, ListQuery, Scalar } from './port.ts'

/** The most rows one page of the port has. */
const PAGE = 1000

export interface CollectOptions<R, T> {
  /** Rows wanted; may be more than one page of the port. */
  limit: number
  /** At most `size` rows behind `last`; fewer mean that the list ends there. */
  read: (last: R | undefined, size: number) => Promise<R[]>
  /** Undefined leaves the row out. */
  convert: (row: R) => Promise<T | undefined>
}

/** Reads on until `limit` rows were kept or the list ends, so that rows that are left out make no short pages. */
export async function collect<R, T>({ limit, read, convert }: CollectOptions<R, T>): Promise<T[]> {
  const kept: T[] = []
  const size = Math.min(limit, PAGE)
  let last: R | undefined
  for (;;) {
    const rows = await read(last, size)
    for (const item of await Promise.all(rows.map(convert))) if (item !== undefined) kept.push(item)
    if (rows.length < size || kept.length >= limit) return kept.slice(0, limit)
    last = rows.at(-1)
  }
}

/**
 * All that a query matches, page by page in its order, `limit` rows each; only the last page is shorter. Rows are read when they
 * are asked for. The order member, if there is one, stands at the top of the row.
 */
export async function* pagesOf<D extends Document>(
  collection: Pick<Collection<D>, 'list'>,
  query: Omit<ListQuery, 'after'>
): AsyncGenerator<D[]> {
  let after: ListQuery['after']
  do {
    const page = await collection.list({ ...query, ...(after && { after }) })
    if (page.length > 0) yield page
    const last = page.length === query.limit ? page.at(-1) : undefined
    after = last && { value: scalarAt(last, query.order?.by ?? 'id'), id: last.id }
  } while (after)
}

/** The same as one list, for what is known to be few. */
export async function allOf<D extends Document>(
  collection: Pick<Collection<D>, 'list'>,
  query: Omit<ListQuery, 'after'>
): Promise<D[]> {
  const rows: D[] = []
  for await (const page of pagesOf(collection, query)) rows.push(...page)
  return rows
}

function scalarAt(row: object, member: string): Scalar {
  const value: unknown = Reflect.get(row, member)
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null
}
