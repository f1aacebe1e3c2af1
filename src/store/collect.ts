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
