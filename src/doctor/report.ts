import { counted, type Finding, type Level } from './finding.ts'

/** Shorter ones would take words apart; nothing that takes a secret takes one so short. */
const SHORTEST_SECRET = 4
/** Green, yellow, red. */
const COLOURS: Record<Level, number> = { ok: 32, warn: 33, fail: 31 }

/** The findings as lines for a terminal, by area, with a sum at the end. */
export function reportText(findings: readonly Finding[], { isColoured }: { isColoured: boolean }): string {
  const width = Math.max(0, ...findings.map(({ area }) => area.length))
  const indent = ' '.repeat(width + 8)
  const lines = findings.flatMap(({ level, area, text, next, copy }, index) => {
    const name = findings[index - 1]?.area === area ? '' : area
    const mark = isColoured ? `\u001B[${COLOURS[level]}m${level.padEnd(4)}\u001B[0m` : level.padEnd(4)
    return [
      `${mark}  ${name.padEnd(width)}  ${text}`,
      ...(next === undefined ? [] : [`${indent}-> ${next}`]),
      // From the first column, so that a copied line is exactly the line.
      ...(copy === undefined ? [] : [copy])
    ]
  })
  const { ok, warn, fail } = sumOf(findings)
  return [...lines, '', `${ok} ok, ${counted(warn, 'warning')}, ${counted(fail, 'failure')}`, ''].join('\n')
}

/** The same for machines. */
export function reportJson(findings: readonly Finding[]): string {
  return `${JSON.stringify({ summary: sumOf(findings), findings }, null, 2)}\n`
}

/**
 * The findings without any of the secrets, wherever they came from: a driver's message may quote what it was given. Only in
 * sentences, so that somebody whose password is `redis` still reads a report.
 */
export function withoutSecrets(findings: readonly Finding[], secrets: readonly (string | undefined)[]): Finding[] {
  const known = secrets.filter((secret) => secret !== undefined && secret.length >= SHORTEST_SECRET)
  const forms = [...new Set(known.flatMap((secret) => [String(secret), encodeURIComponent(String(secret))]))]
  // The longest first: one secret may be a part of another.
  forms.sort((one, other) => other.length - one.length)
  const clean = (text: string) => forms.reduce((rest, form) => rest.replaceAll(form, '[secret]'), text)
  return findings.map((finding) => ({ ...finding, text: clean(finding.text) }))
}

function sumOf(findings: readonly Finding[]): Record<Level, number> {
  const count = (wanted: Level) => findings.filter(({ level }) => level === wanted).length
  return { ok: count('ok'), warn: count('warn'), fail: count('fail') }
}
