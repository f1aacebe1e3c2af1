import t from 'tap'
import { readForm } from '../src/multipart.ts'
import { textFile } from './files/kept.ts'
import { uploadForm } from './files/samples.ts'

const { body, headers } = uploadForm(textFile(20), { session_id: 'a', question: 'ü 🙂' })
const type = headers['content-type']

t.test('fields and files, in their order', async (t) => {
  const { fields, files } = await readForm(type, body, { maxFiles: 1 })
  t.same(fields, [
    ['session_id', 'a'],
    ['question', 'ü 🙂']
  ])
  t.match(files, [{ field: 'file', name: 'a.txt', mime: 'text/plain', bytes: Buffer.alloc(20, 'x') }])
})

t.test('a form that is cut anywhere is refused, and nothing else happens', async (t) => {
  for (let length = 0; length < body.length - 3; length++)
    await t.rejects(readForm(type, body.subarray(0, length), { maxFiles: 1 }), { code: 'bad_request' }, `at ${length}`)
})

t.test('what is no form at all is refused', async (t) => {
  for (const wrong of [undefined, '', 'multipart/form-data', 'text/plain', 'multipart/form-data; boundary='])
    await t.rejects(readForm(wrong, body, { maxFiles: 1 }), { code: 'bad_request' })
  await t.rejects(readForm(type.replace('tests', 'other'), body, { maxFiles: 1 }), { code: 'bad_request' })
  await t.rejects(readForm(type, body, { maxFiles: 0 }), { code: 'validation_error' })
})
