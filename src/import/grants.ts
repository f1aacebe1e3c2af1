import type { GrantRow } from '../store/collections.ts'
import type { Chatflows } from './chatflows.ts'
import { inParallel } from './parallel.ts'
import type { People } from './people.ts'
import type { Report } from './report.ts'
import type { ImportParts } from './rules.ts'
import { idOf, instantOf, labelOf, type SourceDocument } from './values.ts'

const COLLECTIONS = ['UserChatflow', 'user_chatflows']

export interface Known {
  people: People
  chatflows: Chatflows
}

/**
 * Makes the grants: of several documents for one user and chatflow, one active one makes it active. A grant that is there
 * stays as it is, so that what has been revoked here is not given back.
 */
export async function importGrants(parts: ImportParts, { people, chatflows }: Known, report: Report): Promise<void> {
  const rows = parts.target.collection<GrantRow>('grants')
  const counter = report.counter('grants')
  const grants = new Map<string, GrantRow>()

  async function take(document: SourceDocument): Promise<void> {
    counter.read()
    const label = labelOf(document)
    // Of the two, the later one names the user at the auth service; an address names nobody.
    const person = people.find(document.external_user_id ?? document.user_id)
    if (person === undefined) return counter.skip(label, 'there is no such user, or there are two')
    if (person.state === 'deleted') return counter.skip(label, 'this user has been deleted here')
    const chatflowId = await chatflows.find(document.chatflow_id)
    if (chatflowId === undefined) return counter.skip(label, 'there is no such chatflow')
    const isActive = document.is_active === true
    const assignedAt = instantOf(document, 'assigned_at')
    const id = parts.permissions.grantId({ userId: person.id, chatflowId })
    const assignedBy = people.find(document.assigned_by)?.id ?? idOf(document.assigned_by) ?? 'import'
    const row = { id, userId: person.id, chatflowId, isActive, assignedAt, assignedBy, updatedAt: assignedAt }
    const other = grants.get(id)
    if (other === undefined || (isActive && !other.isActive)) grants.set(id, row)
    if (other) counter.skip(label, `${person.id} has another assignment to ${chatflowId}`)
  }

  for (const name of COLLECTIONS) for await (const document of parts.source.documents(name)) await take(document)
  await inParallel(grants.values(), async (row) => {
    const isKnown = (await rows.get(row.id)) !== undefined
    if (!isKnown && (await rows.insert(row))) counter.imported()
    else counter.unchanged()
  })
}
