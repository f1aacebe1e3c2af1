import t from 'tap'
import { createSealer } from '../../src/auth/sealed.ts'
import { SECRET } from './parts.ts'

t.test('what is sealed opens with the same secret, purpose and place, and nowhere else', async (t) => {
  const sealer = createSealer(SECRET, 'tests')
  const text = 'a token with ünïcode 🙂'
  const sealed = sealer.seal(text, 'here')
  t.notMatch(sealed, /token/)
  t.equal(sealer.open(sealed, 'here'), text)
  t.equal(createSealer(SECRET, 'tests').open(sealed, 'here'), text, 'another process')
  t.not(sealer.seal(text, 'here'), sealed, 'never the same twice')
  t.equal(sealer.open(sealed, 'there'), undefined)
  t.equal(createSealer(SECRET, 'others').open(sealed, 'here'), undefined)
  t.equal(createSealer(`${SECRET}x`, 'tests').open(sealed, 'here'), undefined)
})

t.test('what was changed does not open', async (t) => {
  const sealer = createSealer(SECRET, 'tests')
  const bytes = Buffer.from(sealer.seal('text', 'here'), 'base64url')
  for (const index of bytes.keys()) {
    const changed = Buffer.from(bytes)
    changed[index] = (changed[index] ?? 0) ^ 1
    t.equal(sealer.open(changed.toString('base64url'), 'here'), undefined, `byte ${index}`)
  }
  for (const text of ['', 'x', '!!!', bytes.subarray(0, 20).toString('base64url')])
    t.equal(sealer.open(text, 'here'), undefined)
})
