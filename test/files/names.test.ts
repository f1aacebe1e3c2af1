import t from 'tap'
import { isUnchanged, rangeOf } from '../../src/files/conditions.ts'
import { contentDisposition, fittingName, safeName } from '../../src/files/names.ts'

t.test('a name has no path and nothing that deceives', async (t) => {
  for (const [given, kept] of [
    ['report.pdf', 'report.pdf'],
    ['../../etc/passwd', 'passwd'],
    ['C:\\Users\\a\\b.txt', 'b.txt'],
    ['a\r\nSet-Cookie: x=1.txt', 'aSet-Cookie: x=1.txt'],
    ['photo\u202egnp.exe', 'photognp.exe'],
    ['a\0b\u200b\u2028.txt', 'ab.txt'],
    ['Übersicht 🙂.csv', 'Übersicht 🙂.csv'],
    ['\ud800.txt', '\ufffd.txt'],
    ['', 'file'],
    ['..', 'file'],
    [' . ', 'file'],
    ['folder/', 'file'],
    [null, 'file'],
    ['🙂'.repeat(300), '🙂'.repeat(200)]
  ] as const)
    t.equal(safeName(given), kept)
})

t.test('an ending that does not fit gets one that does behind it', async (t) => {
  for (const [name, mime, fitting] of [
    ['a.png', 'image/png', 'a.png'],
    ['A.PNG', 'image/png', 'A.PNG'],
    ['a.jpeg', 'image/jpeg', 'a.jpeg'],
    ['photo', 'image/jpeg', 'photo.jpg'],
    ['setup.exe', 'text/plain', 'setup.exe.txt'],
    ['page.html', 'text/plain', 'page.html.txt'],
    ['a.pdf.', 'application/pdf', 'a.pdf..pdf'],
    ['notes', 'application/msword', 'notes.doc']
  ] as const)
    t.equal(fittingName(name, mime), fitting)
})

t.test('the header has one line of ASCII, and the whole name', async (t) => {
  t.equal(contentDisposition('inline', 'a b.png'), `inline; filename="a b.png"; filename*=UTF-8''a%20b.png`)
  t.equal(
    contentDisposition('attachment', `Ü"\\%'(*)🙂;.txt`),
    `attachment; filename="____'(*)_;.txt"; filename*=UTF-8''%C3%9C%22%5C%25%27%28%2A%29%F0%9F%99%82%3B.txt`
  )
  t.match(contentDisposition('attachment', safeName('a\r\nb\u0000"\ud800')), /^[\x20-\x7e]*$/)
})

t.test('tags', async (t) => {
  const etag = '"abc"'
  for (const header of ['"abc"', 'W/"abc"', '"x", "abc"', '*']) t.equal(isUnchanged(header, etag), true, header)
  for (const header of [undefined, '', '"x"', 'abc', '"abcd"']) t.equal(isUnchanged(header, etag), false)
})

t.test('ranges', async (t) => {
  const of = (range: string | undefined, sizeBytes = 10, ifRange?: string) =>
    rangeOf({ range, ifRange }, { sizeBytes, etag: '"abc"' })
  t.same(of('bytes=0-0'), { start: 0, end: 1 })
  t.same(of('bytes=2-'), { start: 2, end: 10 })
  t.same(of('bytes=2-100'), { start: 2, end: 10 })
  t.same(of('bytes=-3'), { start: 7, end: 10 })
  t.same(of('bytes=-30'), { start: 0, end: 10 })
  t.same(of('bytes=0-0', 10, '"abc"'), { start: 0, end: 1 })
  for (const range of ['bytes=10-', 'bytes=10-12', 'bytes=-0']) t.equal(of(range), 'unsatisfiable', range)
  t.equal(of('bytes=0-', 0), 'unsatisfiable', 'of nothing')
  for (const range of [
    undefined,
    '',
    'bytes=-',
    'bytes=3-2',
    'bytes=0-1,3-4',
    'lines=0-1',
    'bytes=a-b',
    `bytes=${'9'.repeat(20)}-`
  ])
    t.equal(of(range), undefined)
  t.equal(of('bytes=0-0', 10, '"other"'), undefined, 'of another version')
})
