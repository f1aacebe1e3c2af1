import t from 'tap'
import { checkType } from '../../src/files/sniff.ts'
import { fileTypes } from '../../src/files/types.ts'
import { animation, compound, picture, samples, zip } from './samples.ts'

const found = (bytes: Buffer, ...claims: string[]) =>
  checkType(bytes, claims).then(
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
