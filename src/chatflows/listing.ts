import type { ChatflowRow } from '../store/collections.ts'

/** Longest texts that are taken over from Flowise, in characters; the rest is cut. */
const MAX_NAME = 500
const MAX_DESCRIPTION = 4000
const MAX_CATEGORY = 500
const MAX_TYPE = 64
const ID = /^[\x21-\x7e]{1,128}$/

/** What sync takes over from a chatflow that Flowise lists. */
export type Listed = Pick<
  ChatflowRow,
  'id' | 'name' | 'description' | 'category' | 'type' | 'deployed' | 'isPublic'
> & {
  createdAt: number | undefined
  updatedAt: number | undefined
}

/** A row of Flowise's list: readable, or what is wrong with it, with its id where that could be read. */
export type Reading = { listed: Listed } | { id: string | undefined; error: string }

/** Reads one row of Flowise's list by allow-list: the definition, keys and configurations are never looked at. */
export function readListed(row: unknown): Reading {
  if (typeof row !== 'object' || row === null || Array.isArray(row)) return { id: undefined, error: 'is not an object' }
  const members: Record<string, unknown> = { ...row }
  const { id, name } = members
  if (typeof id !== 'string' || !ID.test(id)) return { id: undefined, error: 'has no usable id' }
  if (typeof name !== 'string') return { id, error: 'has no name' }
  return {
    listed: {
      id,
      name: cut(name, MAX_NAME),
      description: textOr(members['description'], MAX_DESCRIPTION, null),
      category: textOr(members['category'], MAX_CATEGORY, null),
      type: textOr(members['type'], MAX_TYPE, 'CHATFLOW'),
      deployed: members['deployed'] === true,
      isPublic: members['isPublic'] === true,
      createdAt: instant(members['createdDate']),
      updatedAt: instant(members['updatedDate'])
    }
  }
}

function textOr<T>(value: unknown, maxLength: number, otherwise: T): string | T {
  return typeof value === 'string' && value !== '' ? cut(value, maxLength) : otherwise
}

function cut(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : text.slice(0, maxLength).toWellFormed()
}

function instant(value: unknown): number | undefined {
  const at = typeof value === 'string' ? Date.parse(value) : Number.NaN
  return Number.isFinite(at) ? at : undefined
}
