/** Rows as CSV (RFC 4180), header first; read as they are asked for. */
export async function* csvTable<R extends object>(
  columns: readonly (keyof R & string)[],
  rows: AsyncIterable<R>
): AsyncGenerator<string> {
  yield `${columns.join(',')}\r\n`
  for await (const row of rows) yield `${columns.map((column) => csvCell(row[column])).join(',')}\r\n`
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
