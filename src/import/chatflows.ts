import type { ChatflowRow } from '../store/collections.ts'
import { inParallel } from './parallel.ts'
import type { Report } from './report.ts'
import type { ImportParts } from './rules.ts'
import { documentIdOf, idOf, instantOf, labelOf, type SourceDocument, textOf } from './values.ts'

/** Named after a class, and the one that was meant. */
const COLLECTIONS = ['Chatflow', 'chatflows']

/** The chatflows that other documents name. */
export interface Chatflows {
  /** The Flowise id behind a Flowise id or the id of a document; undefined if it is unknown or that of two. */
  find(reference: unknown): Promise<string | undefined>
}

/** Makes the rows of chatflows that are not in the catalogue; what Flowise says of them comes with the next sync. */
export async function importChatflows({ source, target }: ImportParts, report: Report): Promise<Chatflows> {
  const rows = target.collection<ChatflowRow>('chatflows')
  const counter = report.counter('chatflows')
  const newest = new Map<string, { row: ChatflowRow; label: string }>()
  const byDocument = new Map<string, string | null>()

  function take(document: SourceDocument): void {
    counter.read()
    const id = idOf(document.flowise_id)
    const documentId = documentIdOf(document)
    if (id === undefined || documentId === undefined) return counter.skip(labelOf(document), 'it has no Flowise id')
    const before = byDocument.get(documentId)
    byDocument.set(documentId, before === undefined || before === id ? id : null)
    const row = rowOf(id, document)
    const other = newest.get(id)
    const isNewer = other === undefined || row.syncedAt > other.row.syncedAt
    if (other) counter.skip(isNewer ? other.label : documentId, `there is a newer document of ${id}`)
    if (isNewer) newest.set(id, { row, label: documentId })
  }

  for (const name of COLLECTIONS) for await (const document of source.documents(name)) take(document)
  await inParallel(newest.values(), async ({ row }) => {
    const isKnown = (await rows.get(row.id)) !== undefined
    if (!isKnown && (await rows.insert(row))) counter.imported()
    else counter.unchanged()
  })

  return {
    async find(reference) {
      const text = idOf(reference)
      if (text === undefined) return undefined
      const named = byDocument.get(text)
      if (named !== undefined) return named ?? undefined
      return newest.has(text) || (await rows.get(text)) ? text : undefined
    }
  }
}

function rowOf(id: string, document: SourceDocument): ChatflowRow {
  const syncedAt = instantOf(document, 'synced_at')
  const status = textOf(document.sync_status)
  return {
    id,
    name: textOf(document.name) ?? id,
    description: textOf(document.description) ?? null,
    category: textOf(document.category) ?? null,
    type: textOf(document.type) ?? 'CHATFLOW',
    deployed: document.deployed === true,
    isPublic: document.is_public === true,
    status: status === 'deleted' || status === 'error' ? status : 'active',
    syncError: null,
    syncedAt,
    createdAt: instantOf(document, 'created_date', 'created_at', 'synced_at'),
    updatedAt: instantOf(document, 'updated_date', 'updated_at', 'synced_at')
  }
}
