import type { Store } from '../../src/store/port.ts'
import type { Fate } from '../servers/wire-connection.ts'

/** A request of a process that waits to be let go on. */
export interface Waiting {
  /** What it asks for: tells requests apart, the same in each repetition of a schedule. */
  name: string
  isWrite: boolean
  decide(fate: Fate): void
}

/** A process of the gateway as a schedule sees it: a store of its own, and what it asks of the one database. */
export interface Process {
  store: Store
  waiting(): Waiting[]
  /** Ends it between two of its steps: what it has sent still waits, and it learns of nothing any more. */
  kill(): Promise<void>
}

/** The way from the processes to their one database, on which every request waits until the schedule decides about it. */
export interface Wire {
  /** Starts the process of this number, also after another one of that number was killed. */
  start(index: number): Promise<Process>
  /** Resolves when nothing moves until the schedule decides again. */
  settled(): Promise<void>
}
