import type { CollectionSpec } from '../../src/store/port.ts'
import type { Migration } from '../../src/store/versions.ts'

/** Two collections in the form of a first gateway. */
export const firstSpecs: CollectionSpec[] = [{ name: 'meta' }, { name: 'things' }]

/** The same for a gateway that calls a member of things otherwise. */
export const secondSpecs: CollectionSpec[] = [{ name: 'meta' }, { name: 'things', version: 2 }]

export const secondForm: Migration = {
  collection: 'things',
  to: 2,
  change: ({ old }) => (old === undefined ? undefined : { set: { fresh: old }, inc: { times: 1 }, unset: ['old'] })
}

/** And one that counts in tens. */
export const thirdSpecs: CollectionSpec[] = [
  { name: 'meta' },
  { name: 'things', version: 3 },
  { name: 'notes', version: 2 }
]

export const thirdForm: Migration = {
  collection: 'things',
  to: 3,
  change: ({ fresh, tens }) =>
    typeof fresh === 'number' && tens === undefined ? { set: { tens: fresh * 10 } } : undefined
}

/** Of a collection that came with the third form. */
export const notesForm: Migration = { collection: 'notes', to: 2, change: () => ({ set: { form: 2 } }) }
