import t from 'tap'
import type { Finding } from '../../src/doctor/finding.ts'
import { reportJson, reportText, withoutSecrets } from '../../src/doctor/report.ts'

const findings: Finding[] = [
  { area: 'store', level: 'ok', text: 'there' },
  { area: 'flowise', level: 'warn', text: 'open', next: 'close it', copy: 'DENYLIST_URLS=/api' },
  { area: 'flowise', level: 'fail', text: 'slow' }
]

t.test('findings are columns, each with what to do next', async (t) => {
  t.equal(
    reportText(findings, { isColoured: false }),
    [
      'ok    store    there',
      'warn  flowise  open',
      '               -> close it',
      'DENYLIST_URLS=/api',
      'fail           slow',
      '',
      '1 ok, 1 warning, 1 failure',
      ''
    ].join('\n')
  )
})

t.test('a terminal gets colours, and the columns stay', async (t) => {
  const [first] = reportText(findings, { isColoured: true }).split('\n')
  t.equal(first, '\u001B[32mok  \u001B[0m  store    there')
})

t.test('machines get the same', async (t) => {
  t.strictSame(JSON.parse(reportJson(findings)), { summary: { ok: 1, warn: 1, fail: 1 }, findings })
})

t.test('a secret is taken out of the sentences in every spelling, the longer before the shorter', async (t) => {
  const finding: Finding = { area: 'redis', level: 'fail', text: 'p%40ss p@ss p@ss-and-more and redis', next: 'redis' }
  t.strictSame(withoutSecrets([finding], ['p@ss', 'redis', 'p@ss-and-more', 'an', undefined, '']), [
    { area: 'redis', level: 'fail', text: '[secret] [secret] [secret] and [secret]', next: 'redis' }
  ])
})
