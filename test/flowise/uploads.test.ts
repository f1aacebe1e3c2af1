import * as fc from 'fast-check'
import t from 'tap'
import { AppError } from '../../src/errors.ts'
import { encodeJson, readUploads } from '../../src/flowise/uploads.ts'

const body = { question: 'a "quoted" ü', chatId: 'c', overrideConfig: { sessionId: 's' }, streaming: true }

/** Where a list of uploads is wrong. */
function wrongAt(...uploads: NonNullable<Parameters<typeof readUploads>[0]>): string[] | undefined {
  try {
    readUploads(uploads)
  } catch (error) {
    if (error instanceof AppError) return error.params.errors?.[0]?.loc
  }
  return undefined
}

/** What Flowise would read. */
function sent(files: Parameters<typeof encodeJson>[1]) {
  const { contentType, sizeBytes, payload } = encodeJson(body, files)
  const bytes = Buffer.isBuffer(payload) ? payload : Buffer.concat([...payload])
  t.equal(contentType, 'application/json')
  t.equal(bytes.length, sizeBytes, 'as long as it says')
  return JSON.parse(bytes.toString())
}

t.test('files are written with one prefix each, whatever their size and name', async (t) => {
  t.same(sent([]), body)
  for (const size of [0, 1, 2, 3, 49_151, 49_152, 49_153, 200_000]) {
    const bytes = Buffer.alloc(size, 'ü€🙂')
    const file = { name: `a "b" \\ ü ${size}.txt`, mime: 'text/plain', bytes }
    const upload = {
      data: `data:text/plain;base64,${bytes.toString('base64')}`,
      type: 'file',
      name: file.name,
      mime: file.mime
    }
    t.same(sent([file]), { ...body, uploads: [upload] })
    t.same(sent([file, file]), { ...body, uploads: [upload, upload] })
  }
})

t.test('any bytes are read as they were written, in every way', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.nat(80), (array, width) => {
      const bytes = Buffer.from(array)
      const base64 = bytes.toString('base64')
      const folded = width === 0 ? base64 : base64.replaceAll(new RegExp(`.{${width}}`, 'g'), '$&\n')
      const percents = Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
      const ways = [
        base64,
        folded,
        base64.replace(/=+$/, ''),
        `data:;base64,${base64}`,
        `DATA:a/b;x=y;BASE64,${base64}`,
        `data:a/b,${percents}`
      ]
      for (const data of ways) {
        const [file] = readUploads([{ data, mime: 'a/b' }])
        if (!file?.bytes.equals(bytes)) return false
      }
      return true
    })
  )
  t.same(wrongAt({ data: 'YWJj', mime: 'a/b' }, { data: 'YW*j', mime: 'a/b' }), ['body', 'uploads', '1', 'data'])
})

t.test('what is claimed is collected, and what says nothing is left out', async (t) => {
  const claims = (data: string, mime?: string | null) =>
    readUploads([{ data, ...(mime === undefined ? {} : { mime }) }])[0]?.claims
  t.same(claims('data:image/png;base64,', 'image/jpeg'), ['image/jpeg', 'image/png'])
  t.same(claims('data:image/png;base64,'), ['image/png'])
  t.same(claims('data:application/octet-stream;base64,', 'text/csv'), ['text/csv'])
  t.same(claims('', 'text/csv'), ['text/csv'])
  for (const data of ['', 'data:;base64,', 'data:application/octet-stream;base64,'])
    t.same(wrongAt({ data, mime: null }), ['body', 'uploads', '0', 'mime'])
})
