import { copyFileSync, existsSync, readFileSync, rmSync, statSync } from 'node:fs'

/** What a database consists of, by the ends of the names. */
export const PARTS = ['', '-wal', '-redo', '-redo2']

/** Copies a database as a crash would leave it now. */
export function copyDatabase(from: string, to: string): void {
  for (const part of PARTS) {
    rmSync(to + part, { force: true })
    if (existsSync(from + part)) copyFileSync(from + part, to + part)
  }
}

/** The redo logs of a database, one after the other. */
export function redoOf(path: string): Buffer {
  return Buffer.concat(
    PARTS.slice(2).map((part) => (existsSync(path + part) ? readFileSync(path + part) : Buffer.alloc(0)))
  )
}

/** How many bytes there are in the redo logs. */
export function redoSizeOf(path: string): number {
  return PARTS.slice(2).reduce((sum, part) => sum + (statSync(path + part, { throwIfNoEntry: false })?.size ?? 0), 0)
}
