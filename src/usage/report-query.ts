import { invalid } from '../errors.ts'
import { type Dimension, DIMENSIONS } from './groups.ts'
import { DAY_MS, dayNamed, dayOf, daysBetween, type Segment } from './segments.ts'

const MOST_DAYS = 92
const USUAL_DAYS = 30

/**
 * The days that are asked for, both ends included.
 * @throws validation_error for what is no day, ends before it begins, or is more than 92 days
 */
export function periodOf({ from, to }: { from?: string; to?: string }, now: number): Segment[] {
  const last = to === undefined ? dayOf(now) : named('to', to)
  const first = from === undefined ? dayOf(last.from - (USUAL_DAYS - 1) * DAY_MS) : named('from', from)
  if (first.from > last.from) throw invalid(['query', 'from'], 'must not be after to')
  if (last.from - first.from >= MOST_DAYS * DAY_MS)
    throw invalid(['query', 'from'], `must be at most ${MOST_DAYS} days before to`)
  return daysBetween(first.from, last.from)
}

/**
 * What a report is broken down by; nothing for an empty text.
 * @throws validation_error for anything that is not among `allowed`
 */
export function groupingOf(text: string, allowed: readonly Dimension[] = DIMENSIONS): ReadonlySet<Dimension> {
  const names = text.split(',').flatMap((name) => (name.trim() === '' ? [] : [name.trim()]))
  return new Set(
    names.map((name) => {
      const dimension = allowed.find((known) => known === name)
      if (!dimension) throw invalid(['query', 'group_by'], `must be a comma list of ${allowed.join(', ')}`)
      return dimension
    })
  )
}

function named(member: string, name: string): Segment {
  const day = dayNamed(name)
  if (!day) throw invalid(['query', member], 'must be a day, as YYYY-MM-DD')
  return day
}
