/** A stretch of time that is added up as one: a day of UTC, or an hour of it. */
export interface Segment {
  /** `2026-01-31`, or `2026-01-31T23`. */
  readonly id: string
  /** Epoch ms: from the first to before the second. */
  readonly from: number
  readonly to: number
}

export const HOUR_MS = 3_600_000
export const DAY_MS = 86_400_000

/** The day of this instant. */
export function dayOf(at: number): Segment {
  const from = Math.floor(at / DAY_MS) * DAY_MS
  return { id: new Date(from).toISOString().slice(0, 10), from, to: from + DAY_MS }
}

/** The hours of a day, in order. */
export function hoursOf(day: Segment): Segment[] {
  return Array.from({ length: DAY_MS / HOUR_MS }, (_, hour) => {
    const from = day.from + hour * HOUR_MS
    return { id: new Date(from).toISOString().slice(0, 13), from, to: from + HOUR_MS }
  })
}

/** The days from the first instant to the last, in order. */
export function daysBetween(firstAt: number, lastAt: number): Segment[] {
  const days: Segment[] = []
  for (let day = dayOf(firstAt); day.from <= lastAt; day = dayOf(day.to)) days.push(day)
  return days
}

/** The day of this name; undefined if there is none. */
export function dayNamed(name: string): Segment | undefined {
  const at = Date.parse(`${name}T00:00:00.000Z`)
  const day = Number.isNaN(at) ? undefined : dayOf(at)
  return day?.id === name ? day : undefined
}

/** The name of the day that a segment is in. */
export function dayOfSegment(segment: string): string {
  return segment.slice(0, 10)
}
