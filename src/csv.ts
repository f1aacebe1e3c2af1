/** Rows as CSV (RFC 4180), header first; read as they are asked for, and shown as `view` says. */
export async function* csvTable<R, V extends object>(
  columns: readonly (keyof V & string)[],
  rows: AsyncIterable<R>,
  view: (row: R) => V | Promise<V>
): AsyncGenerator<string> {
  yield `${columns.join(',')}\r\n`
  for await (const row of rows) {
    const shown = await view(row)
    yield `${columns.map((column) => csvCell(shown[column])).join(',')}\r\n`
  }
}

/** Headers of a table that is saved under this name. */
export function tableHeaders(name: string): Record<string, string> {
  return { 'content-type': 'text/csv; charset=utf-8', 'content-disposition': `attachment; filename="${name}.csv"` }
}

/**
 * One quoted cell. Text that a spreadsheet would run as a formula gets an apostrophe in front.
 * @see OWASP, CSV Injection
 */
export function csvCell(value: unknown): string {
  const text = value === null || value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value)
  const harmless = /^[=+\-@\t\r\n]/.test(text) ? `'${text}` : text
  return `"${harmless.replaceAll('"', '""')}"`
}
