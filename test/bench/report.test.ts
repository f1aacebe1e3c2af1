import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { commands } from '../../bench/chapters.ts'
import { withSection } from '../../bench/report.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/benchmarks.md'), 'utf8')

t.test('a run writes its own section and nothing else', async (t) => {
  const text =
    'a\n<!-- one: written by the run -->\nold\n<!-- end of one -->\nb\n<!-- two: written by the run -->\n<!-- end of two -->\n'
  const written = withSection(text, 'one', 'new')
  t.equal(written, text.replace('\nold\n', '\n\nnew\n\n'))
  t.equal(withSection(written, 'one', 'new'), written, 'twice the same')
  t.match(withSection(written, 'two', 'more'), /new[^]*more/)
  t.throws(() => withSection(text, 'three', ''), { message: /section three/ })
})

t.test('the page has a section for every chapter', async (t) => {
  const chapters = Object.values(commands).flat()
  t.ok(chapters.length > 2)
  for (const { name } of chapters) t.match(withSection(page, name, 'written'), /-->\n\nwritten\n\n<!-- end/)
})

t.test('the goals of a suite are about its own columns', async (t) => {
  const suites = Object.values(commands).flatMap((chapters) =>
    chapters.flatMap((chapter) => Object.values(chapter.suites))
  )
  t.ok(suites.length > 5)
  for (const { title, goals, metrics } of suites) {
    const keys = metrics.map(({ key }) => key)
    const known = [...keys, 'gap', 'firstP50', 'firstP99']
    for (const { metric, what } of goals) t.ok(known.includes(metric), `${title}: ${what}`)
  }
})
