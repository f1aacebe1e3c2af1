import { randomBytes } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import type { Test } from 'tap'
import { openBlobs } from '../../src/blobs/open.ts'
import { createSystemClock } from '../../src/clock.ts'
import { createLedger } from '../../src/credits/ledger.ts'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { createIds, sha256Hex } from '../../src/ids.ts'
import { collections } from '../../src/store/collections.ts'
import { PLACE_ROWS } from '../../src/store/move.ts'
import { openStore, type Place } from '../../src/store/open.ts'
import type { Document, Store } from '../../src/store/port.ts'
import { createFakeClock } from '../clock.ts'
import { buildTestApp } from '../helper.ts'

type Row = Document & Record<string, unknown>

/** What JSON, SQLite and MongoDB see differently, if anybody does. */
const ODD: Row[] = [
  {
    id: 'a/b:"c" \'d\' ü',
    before: { name: 'nul \0 lone \ud800 pair 😀 quote " backslash \\ line \u2028\n', 'any key. at $all': 1.5, '': 0 },
    after: { list: [1, 'two', null, true, { deep: [[[]]] }], empty: {}, '%json': 'x', '%[': [1], $set: { $inc: 1 } }
  },
  {
    id: '\uffee last in UTF-8 but for the next',
    small: -0.000001,
    big: Number.MAX_SAFE_INTEGER,
    float: 1e300,
    none: -0
  },
  { id: '😀 first in UTF-16 after the one before', before: JSON.parse(`${'['.repeat(200)}${']'.repeat(200)}`) },
  { id: 'long', after: { text: 'ü'.repeat(3_000_000) } },
  ...Array.from({ length: 300 }, (_, i) => ({ id: `row ${i}`, createdAt: i, after: { text: 'x'.repeat(i * 10) } }))
]

/**
 * Fills an empty store with what a day of the real application leaves: users, logins, grants, conversations, money, a hold
 * that a dead process left behind, and documents as odd as the port allows. The store is closed then.
 */
export async function fillWithData(t: Test, place: Place): Promise<void> {
  const store = await openStore(place, { mode: 'serve' })
  const blobs = await openBlobs({ dataDir: place.dataDir, mongo: store.mongo }, createSystemClock())
  const parts = { store, blobs }
  const { app, createUser, request } = await buildTestApp(t, { env: { DEFAULT_CREDITS: '100' }, parts })
  for (const username of ['ada', 'grace', 'hedy']) {
    const { token, id } = await createUser({ username, credits: 7, grants: [DEMO_IDS.echo] })
    for (let n = 0; n < 4; n++) {
      const body = { chatflow_id: DEMO_IDS.echo, question: `question ${n} of ${username}`, sessionId: `${id}-${n % 2}` }
      const reply = await request('POST', '/api/v1/chat/predict', { token, body })
      t.equal(reply.statusCode, 200)
    }
    await leaveHold(store, id)
  }
  const audit = store.collection<Row>('audit_entries')
  for (const row of ODD) t.equal(await audit.insert(row), true, row.id)
  for (const [n, sizeBytes] of [0, 1, 300_000, 3_000_000].entries())
    t.ok(await blobs.write(`file-${n}`, randomBytes(sizeBytes), { maxBytes: sizeBytes, createdAt: n }))
  await app.close()
}

/** The user of fillWithData whose account has a hold. */
async function leaveHold(store: Store, accountId: string): Promise<void> {
  const ledger = createLedger({ store, clock: createFakeClock(), ids: createIds(), maxHolds: 10 })
  const run = { rid: createIds().run(), accountId, chatflowId: DEMO_IDS.echo }
  await ledger.heartbeat(await ledger.reserve({ ...run, amountMicro: 2_000_000 }), 500_000)
}

/** Every document and file of the data in a place, read by the ports, without the rows that belong to the place. */
export async function contentOf(place: Place): Promise<Record<string, Row[]>> {
  const store = await openStore(place, { mode: 'serve' })
  const content: Record<string, Row[]> = {}
  for (const { name } of collections) {
    const rows = await store.collection<Row>(name).list({ limit: 1000 })
    content[name] = name === 'meta' ? rows.filter(({ id }) => !PLACE_ROWS.includes(id)) : rows
  }
  const blobs = await openBlobs({ dataDir: place.dataDir, mongo: store.mongo }, createSystemClock())
  content.files = []
  for (const info of await blobs.list({ limit: 1000 })) {
    const reading = await blobs.read(info.id)
    content.files.push({ ...info, hash: reading ? sha256Hex(await buffer(reading.stream)) : 'gone' })
  }
  await blobs.close()
  await store.close()
  return JSON.parse(JSON.stringify(content))
}
