import * as fc from 'fast-check'
import t from 'tap'
import { parseJson } from '../../plugins/parsing.ts'

const nested = (depth: number, inner = '1') => Buffer.from(`${'['.repeat(depth)}${inner}${']'.repeat(depth)}`)

t.test('JSON may nest 64 levels deep, and brackets in strings are no levels', async (t) => {
  t.ok(parseJson(nested(64)))
  t.throws(() => parseJson(nested(65)), { code: 'malformed_json' })
  for (const text of ['[[[[', '\\"[[', '\\\\', '\\\\\\"[', '{a:[', 'ü\\u005b']) {
    const inner = `"${text}"`
    t.ok(parseJson(nested(64, inner)), text)
    t.throws(
      () => parseJson(nested(63, `[${inner},[]]`)),
      { code: 'malformed_json' },
      `${text} does not hide what follows`
    )
  }
})

t.test('any JSON is read as it is; any other bytes are malformed', async (t) => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 20 }), (text) => {
      let expected: unknown
      try {
        expected = parseJson(Buffer.from(text))
      } catch {
        return text.includes('__proto__') || text.includes('constructor')
      }
      return JSON.stringify(expected) === JSON.stringify(JSON.parse(text))
    })
  )
  for (const text of ['"', '["', '"\\', '{"a', '[', ']', '"a"b"'])
    t.throws(() => parseJson(Buffer.from(text)), { code: 'malformed_json' }, text)
  t.equal(parseJson(Buffer.alloc(0)), undefined)
})
