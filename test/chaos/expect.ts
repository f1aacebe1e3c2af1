import type { Test } from 'tap'
import type { ChaosResult } from './chaos.ts'
import { reportOf } from './report.ts'

/** Prints the counts and asserts that all that must be true is. */
export function expectNoFindings(t: Test, result: ChaosResult): void {
  for (const line of reportOf(result)) t.comment(line)
  for (const [what, cases] of result.findings) t.strictSame(cases, [], what)
  t.strictSame(result.installation.losses.crashes, [], 'no gateway ended by itself')
  t.ok(result.journal.asked.length > 100, 'and it was about something')
}
