import type { ChatflowRow } from '../store/collections.ts'

/** A chatflow as a model; its name is for people only, because several may have the same. */
export function modelOf({ id, alias, name, createdAt }: ChatflowRow) {
  return {
    id: alias ?? id,
    object: 'model' as const,
    created: Math.floor(createdAt / 1000),
    owned_by: 'flowise',
    name,
    chatflow_id: id
  }
}
