import { invalid } from '../errors.ts'

/** Longer numbers are no safe integers, and no stream has so many events. */
const EVENT_ID = /^\d{1,15}$/

/**
 * The id of the last event that a client has; undefined if it has none. The header goes before the query: a browser that
 * reconnects by itself sends it with the address that was current at first.
 * @throws validation_error unless it is a whole number from 0 of at most 15 digits
 */
export function readEventId(header: string | string[] | undefined, query: string | undefined): number | undefined {
  const [text, loc] = header ? [String(header), ['header', 'Last-Event-ID']] : [query, ['query', 'last_event_id']]
  if (text === undefined || text === '') return undefined
  if (!EVENT_ID.test(text)) throw invalid(loc, 'must be the id of an event: a whole number')
  return Number(text)
}
