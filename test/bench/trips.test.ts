import t from 'tap'
import { tripsOf, type WireEvent } from '../../bench/mongo/trips.ts'

/** `a` is a command, `-a` its answer, `A` a command in the background. */
function tripsIn(line: string) {
  const events = line.split(' ').map((word): WireEvent => {
    if (word.startsWith('-')) return { kind: 'answered', id: word.slice(1) }
    return { kind: 'sent', id: word, isBackground: word !== word.toLowerCase() }
  })
  return tripsOf(events)
}

t.test('commands one after the other are each waited for', async (t) => {
  t.strictSame(tripsIn('a -a b -b c -c'), { commands: 3, inTurn: 3, background: 0 })
})

t.test('commands that are under way together are waited for once', async (t) => {
  t.strictSame(tripsIn('a b c -c -a -b'), { commands: 3, inTurn: 1, background: 0 })
  t.strictSame(tripsIn('a b -a c -b d -c -d'), { commands: 4, inTurn: 2, background: 0 })
})

t.test('answers to what was sent before do not count', async (t) => {
  t.strictSame(tripsIn('-z a -a'), { commands: 1, inTurn: 1, background: 0 })
  t.strictSame(tripsOf([]), { commands: 0, inTurn: 0, background: 0 })
})

t.test('what nobody waits for makes no chain longer', async (t) => {
  t.strictSame(tripsIn('a A -A B -a b -B -b'), { commands: 2, inTurn: 2, background: 2 })
})
