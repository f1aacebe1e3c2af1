import { MongoBulkWriteError, MongoServerError } from 'mongodb'
import { AppError } from '../../errors.ts'

const DUPLICATE_KEY = 11_000
/** FerretDB reports the same, when an update meets it, as an internal error of the database beneath it. */
const DUPLICATE_BENEATH = /UNIQUE constraint failed/
const RETRY_SECONDS = 1

/** Whether an id or a unique key is taken. */
export function isTaken(error: unknown): boolean {
  if (!(error instanceof MongoServerError)) return false
  return error.code === DUPLICATE_KEY || (error.code === 1 && DUPLICATE_BENEATH.test(error.message))
}

/**
 * Whether of an unordered batch only documents failed whose ids were there before. The driver gives every other failure the
 * same class, a lost connection too, with an empty list of what failed: then nothing is known of any document.
 */
export function areAllTaken(error: unknown): boolean {
  if (!(error instanceof MongoBulkWriteError)) return isTaken(error)
  const failed = Array.isArray(error.writeErrors) ? error.writeErrors : [error.writeErrors]
  const isTold = failed.length > 0 && error.result.getWriteConcernError() === undefined
  return isTold && failed.every(({ code }) => code === DUPLICATE_KEY)
}

/**
 * What the driver could not do, as the port promises it. The cause keeps name and code; the message stays behind, because
 * the server puts values of documents into it, and the driver addresses.
 */
export function unavailable(error: unknown): AppError {
  if (error instanceof AppError) return error
  return new AppError('store_unavailable', { retryAfterSeconds: RETRY_SECONDS }, { cause: new Error(nameOf(error)) })
}

function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  const code = 'code' in error && (typeof error.code === 'number' || typeof error.code === 'string') ? error.code : ''
  return `${error.name} ${code}`.trim()
}
