import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { statusOf } from '../../plugins/problem.ts'
import { CONFIG_BEGIN, CONFIG_END, generatedFiles, withConfigurationTable } from '../../src/docs.ts'
import { catalogue } from '../../src/errors.ts'
import { buildTestApp } from '../helper.ts'
import { ROOT } from './sources.ts'

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const readme = existsSync(join(ROOT, 'README.md')) ? read('README.md') : undefined

t.test('the committed documents are what the code says', async (t) => {
  const { app } = await buildTestApp(t)
  const routes = app.printRoutes({ includeHooks: true, commonPrefix: false })
  const files = generatedFiles({ routes, openapi: app.swagger(), statusOf, readme })
  t.ok(files.size >= 4)
  for (const [path, content] of files) t.equal(read(path), content, `${path} (npm run snap rewrites it)`)
})

t.test('every error code is documented, and no other', async (t) => {
  const documented = [...read('docs/errors.md').matchAll(/^\| \d{3} \| `([a-z_]+)` \|/gm)].map(([, code]) => code)
  t.strictSame(new Set(documented), new Set(Object.keys(catalogue)))
})

t.test('the README has one configuration table between its markers', { skip: readme === undefined }, async (t) => {
  t.equal(readme?.split(CONFIG_BEGIN).length, 2)
  t.equal(readme?.split(CONFIG_END).length, 2)
})

t.test('the table replaces what is between the markers and nothing else', async (t) => {
  const text = withConfigurationTable(`before\n${CONFIG_BEGIN}\nthe stale table\n${CONFIG_END}\nafter`)
  t.ok(text.startsWith('before\n'))
  t.ok(text.endsWith('\nafter'))
  t.notMatch(text, 'the stale table')
  t.match(text, '| `PORT` | `8000` |')
  t.equal(withConfigurationTable('no markers'), 'no markers')
})

t.test('every npm script that a document names exists', async (t) => {
  const { scripts = {} }: { scripts?: Record<string, string> } = JSON.parse(read('package.json'))
  const documents = [...globSync('*.md', { cwd: ROOT }), ...globSync('docs/**/*.md', { cwd: ROOT })]
  t.ok(documents.length > 0)
  for (const path of documents) {
    for (const [, name = ''] of read(path).matchAll(/\bnpm run ([a-z][a-z:-]*)/g))
      t.ok(name in scripts, `${path}: npm run ${name}`)
    for (const [, name = ''] of read(path).matchAll(/\bnpm (start|test)\b/g))
      t.ok(name in scripts, `${path}: npm ${name}`)
  }
})

t.test('every file a script runs exists', async (t) => {
  const { scripts = {} }: { scripts?: Record<string, string> } = JSON.parse(read('package.json'))
  for (const [name, line] of Object.entries(scripts))
    for (const [, path = ''] of line.matchAll(/\b((?:src|bench|test)\/[\w/-]+\.[jt]s)\b/g))
      t.ok(existsSync(join(ROOT, path)), `${name}: ${path}`)
})
