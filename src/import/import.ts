import type { MetaRow } from '../store/collections.ts'
import { importChatflows } from './chatflows.ts'
import { importFiles } from './files.ts'
import { importGrants } from './grants.ts'
import { readPeople } from './people.ts'
import { createReport, type ImportReport } from './report.ts'
import type { ImportParts } from './rules.ts'
import { importSessions } from './sessions.ts'
import type { Source } from './source.ts'
import { importUsers } from './users.ts'
import { labelOf } from './values.ts'

/**
 * Brings the data of a proxy into this store. Ids follow from those of the source, so that a repetition finds what is there
 * and adds what is missing, after a crash too; what has been changed, revoked or deleted here since stays so. `onRead` is
 * told of each document. @throws SourceError, store_unavailable; a document that makes no sense is skipped
 */
export async function importProxy(
  parts: ImportParts,
  onRead: (name: string, count: number) => void
): Promise<ImportReport> {
  const report = createReport(onRead)
  const startedAt = parts.now()
  const mark = await markOf(parts)
  const people = await readPeople(parts.source, parts.users, report)
  await importUsers(parts, people, report)
  const chatflows = await importChatflows(parts, report)
  await importGrants(parts, { people, chatflows }, report)
  const named = await importSessions(parts, { people, chatflows, importedAt: mark.importedAt }, report)
  await importFiles(parts, { people, named }, report)
  const result = report.result()
  if (result.collections.some(({ imported }) => imported > 0)) await mark.set(startedAt)
  return result
}

/** When the last import of this proxy that came to its end had begun: what is older and not there has been deleted here. */
async function markOf({ source, target }: ImportParts) {
  const meta = target.collection<MetaRow>('meta')
  const id = `import:${await firstUserOf(source)}`
  const value = (await meta.get(id))?.value
  return {
    importedAt: typeof value === 'number' ? value : undefined,
    async set(at: number): Promise<void> {
      if (!(await meta.insert({ id, value: at }))) await meta.update(id, {}, { set: { value: at } })
    }
  }
}

/** What tells one proxy from another, by whatever address it is reached. */
async function firstUserOf(source: Source): Promise<string> {
  for await (const document of source.documents('users')) return labelOf(document)
  return 'nobody'
}
