/** What was seen on the wire between the gateway and its server, in this order. */
export interface WireEvent {
  kind: 'sent' | 'answered'
  /** Ties an answer to its command. */
  id: string
}

export interface Trips {
  /** Every command, also those that were under way at the same time. */
  commands: number
  /** The longest chain of commands of which each was sent after the one before was answered: what latency counts. */
  inTurn: number
}

/** The round trips that began among these events. */
export function tripsOf(events: readonly WireEvent[]): Trips {
  const depths = new Map<string, number>()
  let commands = 0
  let answered = 0
  let inTurn = 0
  for (const { kind, id } of events) {
    if (kind === 'sent') {
      commands += 1
      depths.set(id, answered + 1)
      inTurn = Math.max(inTurn, answered + 1)
    } else answered = Math.max(answered, depths.get(id) ?? 0)
  }
  return { commands, inTurn }
}
