import t from 'tap'
import { isNamed, qualityOf } from '../src/accept.ts'

const table: [accept: string | undefined, quality: number][] = [
  [undefined, 1],
  ['', 1],
  ['*/*', 1],
  ['application/*', 1],
  ['application/problem+json', 1],
  ['APPLICATION/Problem+JSON', 1],
  ['text/html, application/problem+json; q=0.5', 0.5],
  ['application/json, text/plain, */*', 1],
  ['application/json', 0],
  ['text/event-stream', 0],
  ['application/problem+jsonx', 0],
  ['*/*;q=0', 0],
  ['application/problem+json;q=0, */*', 0],
  ['application/*;q=0.0, */*', 0],
  ['application/problem+json, */*;q=0', 1],
  ['application/problem+json;charset=utf-8;q=0.2', 0.2],
  ['application/problem+json;q=high', 1],
  [',;,', 0]
]

t.test('the most specific range decides how much a type is wanted', async (t) => {
  for (const [accept, quality] of table) t.equal(qualityOf(accept, 'application/problem+json'), quality, String(accept))
})

t.test('a type is named by itself, and not by a range', async (t) => {
  t.ok(isNamed('text/html, Text/Event-Stream;q=0.1', 'text/event-stream'))
  for (const accept of [undefined, '', '*/*', 'text/*', 'text/event-stream;q=0', 'text/event-streams'])
    t.notOk(isNamed(accept, 'text/event-stream'), accept ?? 'absent')
})
