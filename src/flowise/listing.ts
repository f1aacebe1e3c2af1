import { AppError } from '../errors.ts'
import { isRecord } from './json.ts'

/** The query of a page after the first one. */
export interface PageQuery {
  page: number
  limit: number
}

/**
 * All rows of a listing that is an array or comes in `{data, total}` pages.
 * A listing that ends before its own total is refused: who takes it for complete would delete what is missing.
 * @throws upstream_error for any other shape, and what `readPage` throws
 */
export async function readListing(readPage: (query: PageQuery | undefined) => Promise<unknown>): Promise<unknown[]> {
  const first = await readPage(undefined)
  if (Array.isArray(first)) return first
  const rows = new Map<unknown, unknown>()
  let { data, total } = toPage(first)
  const limit = data.length
  for (let page = 2; ; page += 1) {
    const before = rows.size
    // Rows may move between pages while we read: each counts once.
    for (const row of data) rows.set(isRecord(row) ? (row.id ?? row) : row, row)
    if (rows.size >= total) return [...rows.values()]
    if (rows.size === before) throw odd(`a listing of ${total} rows ended after ${before}`)
    const next = toPage(await readPage({ page, limit }))
    data = next.data
    total = next.total
  }
}

function toPage(value: unknown): { data: unknown[]; total: number } {
  if (isRecord(value) && Array.isArray(value.data) && typeof value.total === 'number' && value.total >= 0) {
    return { data: value.data, total: value.total }
  }
  throw odd('a listing is neither an array nor a page')
}

function odd(message: string): AppError {
  return new AppError('upstream_error', {}, { cause: new Error(message) })
}
