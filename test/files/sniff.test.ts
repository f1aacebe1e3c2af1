import t from 'tap'
import { checkType } from '../../src/files/sniff.ts'
import { audioTypes, claimOf, documentTypes, fileTypes } from '../../src/files/types.ts'
import { animation, compound, picture, samples, zip } from './samples.ts'

const found = (bytes: Buffer, ...claims: string[]) => foundIn(fileTypes, bytes, ...claims)
const foundIn = (types: typeof fileTypes, bytes: Buffer, ...claims: string[]) =>
  checkType(bytes, claims, types).then(
    ({ mime }) => mime,
    (error: { code: string }) => error.code
  )
const REFUSED = 'unsupported_media_type'
const text = (content: string) => Buffer.from(content)

t.test('each type is taken for what it is, and for nothing else', async (t) => {
  const all = await samples()
  t.same(
    all.map(({ mime }) => mime),
    fileTypes.map(({ mime }) => mime)
  )
  for (const { mime: real, bytes } of all)
    for (const { mime: claimed } of fileTypes) {
      const areBothText = real.startsWith('text/') && claimed.startsWith('text/')
      t.equal(await found(bytes, claimed), real === claimed || areBothText ? claimed : REFUSED, `${real} as ${claimed}`)
    }
})

t.test('a type is read as clients write it', async (t) => {
  const jpeg = await picture().jpeg().toBuffer()
  t.equal(await found(jpeg, 'Image/JPEG'), 'image/jpeg')
  t.equal(await found(jpeg, 'image/jpg'), 'image/jpeg')
  t.equal(await found(text('x'), 'text/plain; charset=utf-8'), 'text/plain')
  t.equal(await found(jpeg, 'image/jpeg', 'image/jpg'), 'image/jpeg', 'two claims that are one')
  t.equal(await found(jpeg, 'image/jpeg', 'image/png'), REFUSED, 'of two claims both must be true')
  for (const other of ['', 'image', 'image/svg+xml', 'text/html', 'application/zip', 'application/octet-stream', '*/*'])
    t.equal(await found(jpeg, other), REFUSED, other)
})

t.test('text is UTF-8 without control characters', async (t) => {
  t.equal(await found(Buffer.alloc(0), 'text/plain'), 'text/plain', 'an empty file')
  t.equal(await found(text('\ufeffa;b\r\n'), 'text/csv'), 'text/csv', 'a byte order mark')
  t.equal(await found(text('MZ, II*, BM and PK are letters'), 'text/plain'), 'text/plain')
  t.equal(await found(text('<svg onload="alert(1)"/>'), 'text/plain'), 'text/plain', 'markup is text')
  t.equal(await found(text('a\0b'), 'text/plain'), REFUSED)
  t.equal(await found(text('a\u001b[31mb'), 'text/plain'), REFUSED)
  t.equal(await found(text('a\u007f'), 'text/plain'), REFUSED)
  t.equal(await found(Buffer.from('Gr\xfc\xdfe', 'latin1'), 'text/csv'), REFUSED)
  t.equal(await found(Buffer.from('utf-16', 'utf16le'), 'text/plain'), REFUSED)
})

t.test('documents are looked into', async (t) => {
  const docx = fileTypes.at(-1)?.mime ?? ''
  t.equal(await found(zip(['a.txt', 'b/c.txt']), docx), REFUSED, 'an archive')
  const workbook = 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet'
  t.equal(await found(zip(['[Content_Types].xml', 'word/x.xml'], workbook), docx), REFUSED, 'a workbook')
  t.equal(await found(zip(['[Content_Types].xml', 'word/document.xml'], docx).subarray(0, 60), docx), REFUSED, 'cut')
  t.equal(await found(compound('Workbook'), 'application/msword'), REFUSED, 'an old workbook')
  t.equal(await found(compound('NoWordDocument'), 'application/msword'), REFUSED)
})

t.test('what only begins like an image is none', async (t) => {
  t.equal(await found(text('GIFTS for all'), 'image/gif'), REFUSED)
  t.equal(await found(await (await animation()).webp().toBuffer(), 'image/webp'), 'image/webp', 'animations are images')
  t.equal(await found(text('\x89PNG'), 'image/png'), REFUSED)
})

t.test(
  'documents for Flowise are of more types, and texts are told by their endings where browsers do not know',
  async (t) => {
    const all = await samples()
    const claimed = (name: string, mime = '') => claimOf({ name, mime }, documentTypes)
    t.equal(claimed('a.MD'), 'text/markdown')
    t.equal(claimed('a.sql', 'application/octet-stream'), 'application/sql')
    t.equal(claimed('a.txt', 'text/XML; charset=utf-8'), 'application/xml')
    t.equal(claimed('a.exe'), '')
    for (const { mime, bytes } of all) {
      const isDocument = documentTypes.some((type) => type.mime === mime)
      t.equal(await foundIn(documentTypes, bytes, mime), isDocument ? mime : REFUSED, mime)
      t.equal(
        await foundIn(documentTypes, bytes, 'application/json'),
        mime.startsWith('text/') ? 'application/json' : REFUSED
      )
    }
    t.equal(await foundIn(documentTypes, text('<?xml version="1.0"?><a/>'), 'text/xml'), 'application/xml')
  }
)

t.test('voices are what browsers record', async (t) => {
  const heads = {
    'audio/webm': '1a45dfa39f4286810142f7810142f2810442f381084282847765626d42878104428581021853806701',
    'audio/mp4': '0000001c6674797069736f6d0000020069736f6d69736f32006d703431',
    'audio/x-m4a': '0000001c667479704d34412000000000004d3441206d703432000000',
    'audio/ogg':
      '4f67675300020000000000000000000000000000000000000000011e01766f726269730000000000000000000000000000000000000000000000',
    'audio/wav': '524946462400000057415645666d7420100000000100010044ac000088580100',
    'audio/mpeg': `494433${'0'.repeat(14)}fffb9064${'0'.repeat(400)}`
  }
  for (const [mime, hex] of Object.entries(heads)) {
    const bytes = Buffer.from(hex, 'hex')
    t.not(await foundIn(audioTypes, bytes, `${mime};codecs=opus`), REFUSED, mime)
    t.equal(await foundIn(audioTypes, bytes, mime === 'audio/wav' ? 'audio/ogg' : 'audio/wav'), REFUSED)
    t.equal(await found(bytes, mime), REFUSED, 'nothing that is kept')
  }
  t.equal(await foundIn(audioTypes, await picture().jpeg().toBuffer(), 'audio/webm'), REFUSED)
})
