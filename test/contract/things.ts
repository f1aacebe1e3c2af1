import type { Test } from 'tap'
import type { Collection, CollectionSpec, Document, Store } from '../../src/store/port.ts'

export interface Opened {
  store: Store
  /** Closes the store and opens it again over the same data. */
  reopen(): Promise<Store>
}

export interface Thing extends Document {
  name?: string | null
  kind?: string
  rank?: number | string | boolean | null
  amount?: number
  flag?: boolean | null
  nested?: Record<string, unknown>
  left?: string
  right?: string
  [member: string]: unknown
}

export const contractSpecs: CollectionSpec[] = [
  {
    name: 'things',
    unique: [['name'], ['left', 'right']],
    indexes: [['kind', 'rank'], ['rank']],
    nonNegative: ['amount']
  },
  { name: 'notes', indexes: [['thingId']], appendedFrom: ['things'] }
]

/** Registers one case of the contract, with a fresh store of its own. */
export type WithThings = (
  title: string,
  check: (t: Test, things: Collection<Thing>, opened: Opened) => Promise<void>
) => void
