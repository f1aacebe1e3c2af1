import type { Ids } from '../ids.ts'
import type { MetaRow } from '../store/collections.ts'
import type { Store } from '../store/port.ts'

const ID = 'installation'

/**
 * The id that all processes over one store have in common, made by the first: it keeps installations apart that share a
 * Redis, where neither the number of a database nor a password separates channels.
 */
export async function installationId(store: Store, ids: Ids): Promise<string> {
  const meta = store.collection<MetaRow>('meta')
  const known = await meta.get(ID)
  if (typeof known?.value === 'string') return known.value
  const value = ids.uuid()
  if (await meta.insert({ id: ID, value })) return value
  return installationId(store, ids)
}
