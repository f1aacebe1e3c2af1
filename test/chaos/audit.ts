import type { LedgerEntryRow } from '../../src/store/collections.ts'
import type { Books } from './books.ts'
import type { Asked, Changed, Journal } from './journal.ts'
import { isWorthRepeating, type Seen } from './prediction-reply.ts'
import { questionIdOf, tokensOf } from './question.ts'

/** What must be true afterwards, each with the cases where it is not. */
export type Findings = Map<string, string[]>

export interface Evidence {
  books: Books
  journal: Journal
  /** How often Flowise ran each question. */
  runs: ReadonlyMap<string, number>
  /** When the sweeper had had its time (epoch ms). */
  now: number
}

const MICRO = 1_000_000
/** For so long after an outage a settlement may still be repeated. */
const RETRIED_MS = 60_000

/** Compares the books with themselves, with what the clients saw, and with what Flowise ran. */
export function audit(evidence: Evidence): Findings {
  const findings: Findings = new Map()
  for (const [what, check] of Object.entries(CHECKS)) findings.set(what, check(evidence))
  return findings
}

const CHECKS: Record<string, (evidence: Evidence) => string[]> = {
  'the ledger verifies': ({ books }) =>
    books.ledger.problems.map(({ accountId, invariant, detail }) => `${accountId} ${invariant}: ${detail}`),
  'the entries of each account add up to its balance': ({ books: { accounts, entries } }) => {
    const sums = Map.groupBy(entries, ({ accountId }) => accountId)
    return accounts
      .filter(
        ({ id, available, held }) => (sums.get(id) ?? []).reduce((sum, e) => sum + e.delta, 0) !== available + held
      )
      .map(({ id }) => id)
  },
  'no balance is negative': ({ books, journal }) => [
    ...books.accounts.filter(({ available, held }) => available < 0 || held < 0).map(({ id }) => id),
    ...journal.complaints
  ],
  'no hold is older than its lease': ({ books: { accounts }, now }) =>
    accounts.flatMap(({ id, holds }) =>
      Object.entries(holds)
        .filter(([, { expiresAt }]) => expiresAt < now)
        .map(([rid, { expiresAt }]) => `${id} ${rid}: ${now - expiresAt} ms`)
    ),
  'nothing waits in an outbox': ({ books }) => (books.waiting === 0 ? [] : [`${books.waiting} documents`]),
  'no run is charged twice': ({ books }) => repeated(chargesOf(books).map(({ requestId }) => requestId)),
  'no question is charged twice': (evidence) => {
    const perQuestion = Map.groupBy(chargesOf(evidence.books), (charge) => questionOfCharge(evidence, charge))
    return [...perQuestion]
      .filter(([question, charges]) => question !== undefined && charges.length > 1)
      .map(([question, charges]) => {
        const entries = charges.map(({ id, at, meta }) => `${id} at ${at} ${meta.ending}`)
        const asked = evidence.journal.asked.find(({ plan }) => plan.id === question)
        return JSON.stringify({ question, entries, asked })
      })
  },
  'every charge has its answer in the history': ({ books, journal }) => {
    const places = new Map(books.messages.map(({ id, sessionId }) => [id, sessionId]))
    return chargesOf(books)
      .filter(({ meta }) => meta.sessionId === undefined || places.get(String(meta.messageId)) !== meta.sessionId)
      .filter(({ meta }) => !journal.deleted.has(String(meta.sessionId)))
      .map(({ id, meta }) => `${id} ${JSON.stringify(meta)}`)
  },
  'every charge is for a question that Flowise ran': (evidence) =>
    chargesOf(evidence.books).flatMap((charge) => {
      const question = questionOfCharge(evidence, charge)
      return question === undefined || evidence.runs.has(question) ? [] : [charge.id]
    }),
  'a question without a key ran at most once': ({ journal, runs }) =>
    journal.asked
      .filter(({ key, plan }) => key === undefined && (runs.get(plan.id) ?? 0) > 1)
      .map(({ plan }) => plan.id),
  'every receipt agrees with its entry': (evidence) =>
    evidence.journal.asked.flatMap((asked) => receipts(evidence, asked)),
  'every complete answer is the whole answer': ({ journal }) =>
    journal.asked.flatMap(({ plan, tries, isStopped }) => {
      const whole = tokensOf(plan).join('')
      // A stop ends the answer; so does a client that leaves, and its repetition is told what there was.
      const isRight = ({ text, isReplay }: Seen) => (isStopped || isReplay ? whole.startsWith(text) : text === whole)
      return tries.filter((seen) => seen.isComplete && !isRight(seen)).map(({ text }) => `${plan.id}: "${text}"`)
    }),
  'every key stands for one answer': ({ journal }) =>
    journal.asked
      .filter(({ tries }) => new Set(tries.flatMap((seen) => (seen.isComplete ? (seen.messageId ?? []) : []))).size > 1)
      .map(({ plan }) => plan.id),
  'every key has had its answer in the end': ({ journal }) =>
    journal.asked
      .filter(({ key, tries }) => key !== undefined && tries.every(isWorthRepeating))
      .map(({ plan, tries }) => `${plan.id}: ${tries.map(({ kind, code }) => code ?? kind).join(' ')}`),
  'every acknowledged change is there once, and no refused one': ({ books, journal }) => {
    const posted = new Map(books.entries.map((entry) => [entry.id, entry]))
    return journal.changes.flatMap((change) => flawOfChange(posted, change))
  }
}

function chargesOf({ entries }: Books): LedgerEntryRow[] {
  return entries.filter(({ kind }) => kind === 'charge')
}

/** Undefined when its session was deleted and no client was told the id of the message. */
function questionOfCharge({ books, journal }: Evidence, { meta }: LedgerEntryRow): string | undefined {
  if (meta.messageId === undefined) return undefined
  const message = books.messages.find(({ id }) => id === meta.messageId)
  if (message) return questionIdOf(message.content)
  return journal.asked.find(({ tries }) => tries.some(({ messageId }) => messageId === meta.messageId))?.plan.id
}

/** How many receipts were estimates that nobody lived to book: the store was away, and then the process was killed. */
export function unbookedEstimates({ books, journal }: Pick<Evidence, 'books' | 'journal'>): number {
  return journal.asked.flatMap((asked) => differences(books, asked)).filter((found) => isEstimate(journal, found))
    .length
}

function receipts({ books, journal }: Evidence, asked: Asked): string[] {
  return differences(books, asked)
    .filter((found) => !isEstimate(journal, found))
    .map((found) => `${asked.plan.id}: ${JSON.stringify(found)}`)
}

interface Difference {
  messageId: string
  at: number
  told: number
  booked: number
}

function differences(books: Books, { tries }: Asked): Difference[] {
  return tries.flatMap(({ messageId, charged: told, at }) => {
    if (messageId === undefined || told === undefined) return []
    const entry = chargesOf(books).find(({ meta }) => meta.messageId === messageId)
    const booked = -(entry?.delta ?? 0) / MICRO
    return booked === told ? [] : [{ messageId, at, told, booked }]
  })
}

/** Never to the disadvantage of the user. The store was away, or so slow that clients were told that it was. */
function isEstimate({ outages, asked }: Journal, { at, told, booked }: Difference): boolean {
  const wasAway = outages.some(({ from, to }) => from < at && at < to + RETRIED_MS)
  const wasSilent = (seen: Seen) => seen.code === 'store_unavailable' && Math.abs(seen.at - at) < RETRIED_MS
  return told > booked && (wasAway || asked.some(({ tries }) => tries.some(wasSilent)))
}

function flawOfChange(posted: Map<string, LedgerEntryRow>, { userId, key, amount, result }: Changed): string[] {
  const entry = posted.get(`g:${encodeURIComponent(userId)}:api:${key}`)
  if (result === 'acknowledged' && entry?.delta !== amount * MICRO) return [`${key}: ${entry?.delta} for ${amount}`]
  if (result === 'refused' && entry) return [`${key}: refused, and posted`]
  return []
}

function repeated(values: string[]): string[] {
  return [...Map.groupBy(values, (value) => value)].filter(([, group]) => group.length > 1).map(([value]) => value)
}
