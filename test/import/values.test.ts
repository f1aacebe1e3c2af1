import { Decimal128, Long, ObjectId } from 'mongodb'
import t from 'tap'
import { eventsOf, readMessage } from '../../src/import/message.ts'
import { inParallel } from '../../src/import/parallel.ts'
import { createReport } from '../../src/import/report.ts'
import { idOf, instantOf, numberOf } from '../../src/import/values.ts'

const HEX = '650000000000000000000001'

t.test('ids', async (t) => {
  t.equal(idOf(new ObjectId(HEX)), HEX)
  t.equal(idOf(` ${HEX} `), HEX)
  for (const none of ['', ' ', 'x'.repeat(129), 'a\nb', '\ud800', 5, null, undefined, {}])
    t.equal(idOf(none), undefined)
})

t.test('numbers in every form of the database', async (t) => {
  const forms = [1.5, Decimal128.fromString('1.5'), Long.fromNumber(7), NaN, Infinity, '5', null, undefined, {}]
  t.strictSame(forms.map(numberOf), [1.5, 1.5, 7, ...Array.from({ length: 6 }, () => undefined)])
})

t.test('instants: without a zone they are UTC, without an instant it is that of the id', async (t) => {
  const noon = Date.UTC(2025, 0, 1, 12)
  const forms = [
    new Date(noon),
    '2025-01-01T12:00:00',
    '2025-01-01 12:00:00.000000',
    '2025-01-01T14:00:00+02:00',
    '2025-01-01T12:00:00Z'
  ]
  for (const at of forms) t.equal(instantOf({ at }, 'at'), noon, String(at))
  t.equal(instantOf({ at: noon, other: new Date(noon) }, 'at', 'other'), noon)
  for (const at of [new Date(Number.NaN), 'yesterday', null, 5]) {
    t.equal(instantOf({ _id: new ObjectId(HEX), at }, 'at'), Number.parseInt(HEX.slice(0, 8), 16) * 1000)
    t.equal(instantOf({ at }, 'at'), 0)
  }
})

t.test('answers: lists of events and nothing else are lists of events', async (t) => {
  const asEvents: [text: string, events: unknown][] = [
    ['[{"event":"token","data":"a"},{"event":"end"}]', ['token', 'end']],
    [' \n[{"event":"token","data":"a"}] ', ['token']],
    ['[]', []]
  ]
  for (const [text, events] of asEvents)
    t.strictSame(
      eventsOf(text).map(({ event }) => event),
      events
    )
  for (const text of ['', 'text', '[1,2]', '[{"event":1}]', '[{"event":"token"},1]', '{"event":"token"}', '[{', '[]x'])
    t.strictSame(eventsOf(text), [{ event: 'token', data: text }])
})

t.test('messages of other forms', async (t) => {
  const base = { _id: new ObjectId(HEX), role: ' apiMessage ', content: [{ event: 'token', data: 'a' }] }
  t.match(
    readMessage({ ...base, file_ids: [HEX, HEX.toUpperCase(), 'url_x', 5], metadata: { id: new ObjectId(HEX) } }),
    {
      id: HEX,
      role: 'assistant',
      events: [{ event: 'token', data: 'a' }],
      fileIds: [HEX],
      metadata: { id: HEX }
    }
  )
  for (const broken of [{ _id: 1 }, { role: 'tool' }, { role: null }, { content: null }, { content: { a: 1 } }])
    t.ok('unusable' in readMessage({ ...base, ...broken }))
})

t.test('a report adds up', async (t) => {
  const told: unknown[] = []
  const report = createReport((name, count) => told.push([name, count]))
  const counter = report.counter('things')
  counter.read()
  report.counter('things').read()
  counter.imported()
  counter.skip('b', 'why')
  counter.note('a', 'but')
  t.strictSame(told, [
    ['things', 1],
    ['things', 2]
  ])
  t.strictSame(report.result(), {
    collections: [{ name: 'things', read: 2, imported: 1, unchanged: 0, skipped: 1 }],
    skipped: [{ collection: 'things', id: 'b', reason: 'why' }],
    notes: [{ collection: 'things', id: 'a', reason: 'but' }],
    omitted: 0
  })
})

t.test('after a failure nothing is begun any more', async (t) => {
  const begun: number[] = []
  const work = async (n: number) => {
    begun.push(n)
    if (n === 1) throw new Error('no')
  }
  await t.rejects(inParallel([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], work, 1), { message: 'no' })
  t.strictSame(begun, [0, 1])
})
