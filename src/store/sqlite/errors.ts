import { AppError } from '../../errors.ts'

const STATEMENT = 1
const BUSY = 5
const FULL = 13
const CONSTRAINT = 19
const TOO_BIG = 18
const CONSTRAINT_PRIMARY_KEY = 1555
const CONSTRAINT_UNIQUE = 2067

/** Whether a row with this id or unique key is there already. */
export function isTaken(error: unknown): boolean {
  const code = resultCode(error)
  return code === CONSTRAINT_UNIQUE || code === CONSTRAINT_PRIMARY_KEY
}

/** Whether the failure is of this statement alone, whoever is at fault, so that others of its transaction may go on. */
export function isOfStatement(error: unknown): boolean {
  // 1 is what a statement fails with that cannot be run on this document: JSON nested more than 1000 deep, for one.
  return isOwnFault(error) || resultCode(error) === STATEMENT
}

/** Whether the caller is at fault: the store is well, and the same write will never do. */
export function isOwnFault(error: unknown): boolean {
  const code = resultCode(error)
  if (code === undefined) return !isClosed(error)
  return (code & 0xff) === CONSTRAINT || (code & 0xff) === TOO_BIG
}

/** Whether a commit that failed with this has left nothing that a crash could complete. */
export function isRefused(error: unknown): boolean {
  const code = resultCode(error) ?? 0
  return [BUSY, FULL, CONSTRAINT].includes(code & 0xff)
}

/** The error as the port promises it: what SQLite could not do is store_unavailable, a caller's fault stays what it is. */
export function portError(error: unknown): unknown {
  if (error instanceof AppError || isOwnFault(error)) return error
  return new AppError('store_unavailable', {}, { cause: error })
}

function resultCode(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode : undefined
}

/** node:sqlite reports the use of a closed connection by its own code, without one of SQLite's. */
function isClosed(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_INVALID_STATE'
}
