import { unbookedEstimates } from './audit.ts'
import type { ChaosResult } from './chaos.ts'
import { questionIdOf } from './question.ts'

const SHOWN = 5

/** The counts and the findings of a run, as lines of a table. */
export function reportOf({ findings, installation: { losses }, journal, books, runs }: ChaosResult): string[] {
  const { entries } = books
  const ofKind = (kind: string) => entries.filter((entry) => entry.kind === kind)
  const expired = entries.filter(({ meta }) => meta.ending === 'expired')
  const counts: [string, number][] = [
    ['kills of a gateway', losses.kills],
    ['starts of a gateway', losses.starts],
    ['starts refused because a server was away', losses.refusedStarts],
    ...[...journal.counts].sort(([a], [b]) => a.localeCompare(b)),
    ['questions', journal.asked.length],
    ['questions with a key', journal.asked.filter(({ key }) => key !== undefined).length],
    ['questions that Flowise ran', runs.size],
    ['runs at Flowise', [...runs.values()].reduce((sum, count) => sum + count, 0)],
    ['accounts', books.accounts.length],
    ['entries', entries.length],
    ['holds', ofKind('hold').length],
    ['charges', ofKind('charge').length],
    ['releases', ofKind('release').length],
    ['expired, free', expired.filter(({ delta }) => delta === 0).length],
    ['expired, charged', expired.filter(({ delta }) => delta !== 0).length],
    ['receipts that nobody lived to book', unbookedEstimates({ books, journal })],
    ['grants and adjustments', ofKind('grant').length + ofKind('adjust').length],
    ['changes acknowledged', journal.changes.filter(({ result }) => result === 'acknowledged').length],
    ['changes refused', journal.changes.filter(({ result }) => result === 'refused').length],
    ['changes that nobody knows of', journal.changes.filter(({ result }) => result === 'unknown').length],
    ['sessions', books.sessions.length],
    ['messages', books.messages.length],
    ['answers that are not complete', books.messages.filter(({ status }) => status === 'incomplete').length],
    ['answers', books.messages.filter(({ content, role }) => role === 'assistant' && questionIdOf(content)).length]
  ]
  return [
    ...table(counts),
    '',
    ...table([...findings].map(([what, cases]) => [what, cases.length] as const)),
    ...[...findings].flatMap(([what, cases]) => cases.slice(0, SHOWN).map((text) => `  ${what}: ${text}`)),
    ...losses.crashes.map((text) => `  crash: ${text}`),
    ...[...losses.errors].map(([text, count]) => `  logged ${count}x: ${text}`)
  ]
}

function table(rows: readonly (readonly [string, number])[]): string[] {
  const width = Math.max(...rows.map(([name]) => name.length)) + 2
  return rows.map(([name, count]) => `${name.padEnd(width, '.')}${String(count).padStart(8, '.')}`)
}
