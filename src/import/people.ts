import type { Role } from '../store/collections.ts'
import type { Report } from './report.ts'
import type { UserRules } from './rules.ts'
import type { Source } from './source.ts'
import { documentIdOf, idOf, instantOf, labelOf, numberOf, type SourceDocument, textOf } from './values.ts'

/** One person of the proxy, of whom it may have several documents. */
export interface Person {
  /** The id at the auth service if there is one, else that of the document; the id of the row here. */
  id: string
  /** The documents, the one that counts first. */
  documentIds: [string, ...string[]]
  externalId: string | null
  username: string | undefined
  /** Normalised. */
  email: string | undefined
  passwordHash: string | undefined
  role: Role
  isActive: boolean
  credits: number | undefined
  createdAt: number
  updatedAt: number
  /** What is true of the row here; set when it has been looked for. */
  state?: 'new' | 'known' | 'deleted'
}

/** The people of the proxy. */
export interface People {
  /** Who has a password comes first, then whoever was changed last: of two with one name, the first gets it. */
  all: readonly Person[]
  /** By the id at the auth service or that of a document; undefined also if it is that of two people. */
  find(reference: unknown): Person | undefined
}

/** Of a higher cost, one login would take minutes. */
const BCRYPT = /^\$2[aby]\$(0[4-9]|1[0-6])\$[./A-Za-z0-9]{53}$/
const RANKS: readonly Role[] = ['user', 'premium', 'admin']

type Read = Omit<Person, 'documentIds' | 'state'> & { documentId: string }

/**
 * Reads the users. Documents of one id at the auth service are one person, and so is one without such an id whose own id
 * it is; nothing else is proof, least of all an equal address.
 */
export async function readPeople(source: Source, rules: UserRules, report: Report): Promise<People> {
  const counter = report.counter('users')
  const groups = new Map<string, Read[]>()
  for await (const document of source.documents('users')) {
    counter.read()
    const read = readUser(document, rules)
    if (read === undefined) {
      counter.skip(labelOf(document), 'it has no usable _id')
      continue
    }
    const others = groups.get(read.id)
    if (others) others.push(read)
    else groups.set(read.id, [read])
    if (textOf(document.password_hash) && read.passwordHash === undefined)
      counter.note(read.documentId, 'its password is no bcrypt hash of cost 4 to 16: left out')
  }
  const all = [...groups.values()].map(joined).sort(byPrecedence)
  for (const { documentIds } of all)
    for (const id of documentIds.slice(1)) counter.skip(id, `the same person as ${documentIds[0]}`)
  return { all, find: finder(all) }
}

function readUser(document: SourceDocument, rules: UserRules): Read | undefined {
  const documentId = documentIdOf(document)
  if (documentId === undefined) return undefined
  const external = idOf(document.external_id)
  const username = textOf(document.username)?.trim()
  const email = rules.normalEmail(textOf(document.email) ?? '')
  const hash = textOf(document.password_hash) ?? ''
  return {
    id: external ?? documentId,
    documentId,
    externalId: external ?? null,
    username: rules.isPlainText(username) ? username : undefined,
    email: rules.isEmail(email) ? email : undefined,
    passwordHash: BCRYPT.test(hash) ? hash : undefined,
    role: rules.roleOf(document.role),
    isActive: document.is_active === true || document.is_active === undefined || document.is_active === null,
    credits: numberOf(document.credits),
    createdAt: instantOf(document, 'created_at'),
    updatedAt: instantOf(document, 'updated_at', 'created_at')
  }
}

/** Names and password are those of the first; of rights and state, whatever gives least. */
function joined(reads: Read[]): Person {
  const sorted = reads.sort(byPrecedence)
  const [first, ...others] = sorted
  if (first === undefined) throw new Error('A group without documents')
  const { documentId, ...members } = first
  return {
    ...members,
    documentIds: [documentId, ...others.map((other) => other.documentId)],
    externalId: sorted.find(({ externalId }) => externalId !== null)?.externalId ?? null,
    credits: sorted.find(({ credits }) => credits !== undefined)?.credits,
    role: RANKS.find((role) => sorted.some((read) => read.role === role)) ?? 'user',
    isActive: sorted.every(({ isActive }) => isActive),
    createdAt: Math.min(...sorted.map(({ createdAt }) => createdAt))
  }
}

function byPrecedence(
  one: Pick<Read, 'passwordHash' | 'updatedAt' | 'id'>,
  other: Pick<Read, 'passwordHash' | 'updatedAt' | 'id'>
): number {
  const passwords = Number(other.passwordHash !== undefined) - Number(one.passwordHash !== undefined)
  return passwords || other.updatedAt - one.updatedAt || (one.id < other.id ? -1 : 1)
}

function finder(all: readonly Person[]): People['find'] {
  const known = new Map<string, Person | null>(all.map((person) => [person.id, person]))
  for (const person of all)
    for (const id of person.documentIds) {
      const other = known.get(id)
      // Whose data it would be nobody knows.
      known.set(id, other === undefined || other === person ? person : null)
    }
  return (reference) => known.get(idOf(reference) ?? '') ?? undefined
}
