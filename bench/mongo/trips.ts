import type { WireRequest } from '../../test/servers/wire-message.ts'

/** What was seen on the wire between the gateway and its server, in this order. */
export type WireEvent =
  | {
      kind: 'sent'
      /** Ties an answer to its command. */
      id: string
      /** Sent for its own sake: no client waits for it. */
      isBackground: boolean
    }
  | { kind: 'answered'; id: string }

export interface Trips {
  /** Every command that somebody waited for, also those that were under way at the same time. */
  commands: number
  /** The longest chain of them of which each was sent after the one before was answered: what latency counts. */
  inTurn: number
  /** Commands that nobody waited for. */
  background: number
}

/** The round trips that began among these events. */
export function tripsOf(events: readonly WireEvent[]): Trips {
  const depths = new Map<string, number>()
  const trips: Trips = { commands: 0, inTurn: 0, background: 0 }
  let answered = 0
  for (const event of events) {
    if (event.kind === 'answered') answered = Math.max(answered, depths.get(event.id) ?? 0)
    else if (event.isBackground) trips.background += 1
    else {
      trips.commands += 1
      depths.set(event.id, answered + 1)
      trips.inTurn = Math.max(trips.inTurn, answered + 1)
    }
  }
  return trips
}

/** Whether a command brings appended documents to their own collections, or takes them out of where they waited (ADR 7). */
export function isPublication({ command, body }: WireRequest): boolean {
  if (command === 'insert') return body.ordered === false
  return command === 'update' && body.updates?.[0]?.u?.$pullAll?.['%pending'] !== undefined
}
