import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { claims, PAGE, renderPage } from './page.ts'

const FOLDER = import.meta.dirname

/** What the tests call the clients. */
const NAMES = { 'flowise-sdk': 'SDK', 'flowise-embed': 'EMBED', openai: 'OPENAI' } as const

const sources = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => readFileSync(join(FOLDER, name), 'utf8'))

t.test('the page about the clients says what their tests say; `node test/clients/matrix.ts` writes it', async (t) => {
  const page = readFileSync(PAGE, 'utf8')
  t.equal(page, renderPage(page))
})

t.test('the page claims nothing without a test', async (t) => {
  t.ok(claims().length > 40)
  for (const { client, behaviour, test } of claims()) {
    const starts = [`proves(t, ${NAMES[client]}, '${behaviour}'`, `t.test('${test}'`]
    const found = sources.filter((source) => starts.some((start) => source.includes(start)))
    t.equal(found.length, 1, test)
  }
})
