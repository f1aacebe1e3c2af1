import { AppError } from '../errors.ts'
import type { UserRow } from '../store/collections.ts'
import type { Collection } from '../store/port.ts'
import { inParallel } from './parallel.ts'
import type { People, Person } from './people.ts'
import type { Report } from './report.ts'
import type { ImportParts } from './rules.ts'

const GRANT_KEY = 'import'
const GRANT_NOTE = 'Credits taken over from the earlier proxy'

type NameMember = 'usernameKey' | 'email'

/** A person with the names that are left for them. */
interface Named {
  person: Person
  username: string | undefined
  email: string | undefined
}

/** Makes the rows of these people; one that is there, or was and is deleted, stays as it is. */
export async function importUsers(parts: ImportParts, people: People, report: Report): Promise<void> {
  const counter = report.counter('users')
  const credits = report.counter('credits')
  const rows = parts.target.collection<UserRow>('users')

  async function importOne(named: Named): Promise<void> {
    const { person } = named
    const [label] = person.documentIds
    const made = await makeRow(rows, named, parts)
    person.state = made.state
    if (made.state === 'deleted') counter.skip(label, 'this user has been deleted here')
    else if (made.state === 'known') counter.unchanged()
    else {
      counter.imported()
      for (const lost of made.lost) counter.note(label, lost)
    }
    if (made.state !== 'deleted' && person.credits !== undefined) await importCredits(made.row, person, label)
  }

  async function importCredits(row: UserRow, { credits: given = 0 }: Person, label: string): Promise<void> {
    credits.read()
    if (!parts.credits.isKeptHere) return credits.skip(label, 'the balances are kept by the accounting service')
    const amount = Math.max(0, Math.round(given * 1e6) / 1e6)
    if (amount !== given) credits.note(label, `${given} credits became ${amount}`)
    try {
      const grant = { key: GRANT_KEY, amountMicro: parts.credits.toMicro(amount), note: GRANT_NOTE }
      if (await parts.credits.grant(row, grant)) credits.imported()
      else credits.unchanged()
    } catch (error) {
      const isTooMuch = error instanceof RangeError || (error instanceof AppError && error.kind === 'invalid')
      if (!isTooMuch) throw error
      credits.skip(label, 'more credits than there can be')
    }
  }

  await inParallel(await nameAll(rows, people, parts), importOne)
}

interface Made {
  state: NonNullable<Person['state']>
  row: UserRow
  /** What the row of a new one lacks. */
  lost: string[]
}

async function makeRow(rows: Collection<UserRow>, named: Named, parts: ImportParts): Promise<Made> {
  const { person, username, email } = named
  const known = await rows.get(person.id)
  if (known) return { state: known.deletedAt === undefined ? 'known' : 'deleted', row: known, lost: [] }
  const lost: string[] = []
  if (person.username !== undefined && username === undefined) lost.push('its username is taken: left out')
  if (person.email !== undefined && email === undefined) lost.push('its e-mail address is taken: left out')
  if (person.documentIds.length > 1) lost.push(`joined with ${person.documentIds.slice(1).join(', ')}`)
  if (username === undefined && email === undefined) lost.push('it has no name to log in with')
  const row = rowOf(named, parts)
  if (!(await rows.insert(row)))
    throw new Error(`The target does not take the user ${person.id}. Is a gateway running?`)
  return { state: 'new', row, lost }
}

function rowOf({ person, username, email }: Named, { users: rules }: ImportParts): UserRow {
  const { id, role, isActive, externalId, passwordHash, createdAt, updatedAt } = person
  const isLocal = !rules.isManagedExternally && (passwordHash !== undefined || externalId === null)
  return {
    id,
    username: username ?? null,
    ...(username === undefined ? {} : { usernameKey: rules.usernameKeyOf(username) }),
    ...(email === undefined ? {} : { email }),
    role,
    isActive,
    origin: isLocal ? 'local' : 'token',
    externalId,
    ...(isLocal && passwordHash !== undefined ? { passwordHash } : {}),
    tokensValidFromAt: 0,
    createdAt,
    updatedAt
  }
}

/** Each name goes to the first who has it, unless it is somebody's here already. */
async function nameAll(rows: Collection<UserRow>, people: People, { users: rules }: ImportParts): Promise<Named[]> {
  const taken = { usernameKey: new Set<string>(), email: new Set<string>() }
  const named: Named[] = []

  async function isFree(member: NameMember, value: string | undefined, id: string): Promise<boolean> {
    if (value === undefined || taken[member].has(value)) return false
    const [holder] = await rows.list({ where: { equal: { [member]: value } }, limit: 1 })
    if (holder && holder.id !== id) return false
    taken[member].add(value)
    return true
  }

  for (const person of people.all) {
    const { id, username, email } = person
    const key = username === undefined ? undefined : rules.usernameKeyOf(username)
    named.push({
      person,
      username: (await isFree('usernameKey', key, id)) ? username : undefined,
      email: (await isFree('email', email, id)) ? email : undefined
    })
  }
  return named
}
