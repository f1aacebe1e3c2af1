import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { DENYLIST_LINE } from '../../src/doctor/exposure.ts'

t.test('documents and compose file close the same paths of Flowise as the doctor wants closed', async (t) => {
  const read = (path: string) => readFileSync(join(import.meta.dirname, '../..', path), 'utf8')
  t.ok(read('README.md').includes(`\n${DENYLIST_LINE}\n`))
  const [name, list] = DENYLIST_LINE.split('=')
  t.ok(read('compose.yaml').includes(`      ${name}: ${list}\n`))
})
