import { assert, integer, property, string } from 'fast-check'
import t from 'tap'
import { cutText, topicOf } from '../../src/history/text.ts'

t.test('a topic is the question, or its first 50 characters and dots', async (t) => {
  t.equal(topicOf('Hello'), 'Hello')
  t.equal(topicOf('x'.repeat(50)), 'x'.repeat(50))
  t.equal(topicOf('x'.repeat(51)), `${'x'.repeat(50)}...`)
  t.equal(topicOf('😀'.repeat(50)), '😀'.repeat(50))
  t.equal(topicOf('😀'.repeat(100_000)), `${'😀'.repeat(50)}...`, 'characters are not cut in two')
})

t.test('a cut text is the longest start that fits, with whole characters', async (t) => {
  t.strictSame(cutText('abc', 3), { text: 'abc', isCut: false })
  t.strictSame(cutText('abcd', 3), { text: 'abc', isCut: true })
  t.strictSame(cutText('aé😀', 6), { text: 'aé', isCut: true })
  assert(
    property(string({ unit: 'binary' }), integer({ min: 0, max: 40 }), (text, maxBytes) => {
      const cut = cutText(text, maxBytes)
      const next = Array.from(text.slice(cut.text.length))[0] ?? ''
      return (
        text.startsWith(cut.text) &&
        Buffer.byteLength(cut.text) <= maxBytes &&
        (cut.isCut ? Buffer.byteLength(cut.text + next) > maxBytes : cut.text === text)
      )
    })
  )
})
