import t, { type Test } from 'tap'
import { createFiles } from '../../src/files/files.ts'
import type { FileRow, FileUsageRow } from '../../src/store/collections.ts'
import { createFakeClock } from '../clock.ts'
import { buildTestApp } from '../helper.ts'
import { keptFiles, NOTHING } from './kept.ts'

const HOUR = 3_600_000

/** Files with a clock of their own: the jobs of the application beside them do not wake. */
async function start(t: Test) {
  const gateway = await buildTestApp(t)
  const { store, blobs, ids } = gateway.app
  const clock = createFakeClock(Date.now())
  const files = createFiles({ store, blobs, ids, clock, maxFileBytes: 10_000, maxUserBytes: 10_485 })
  const claimed = (sizeBytes: number, name = 'a.txt') => ({
    name,
    claims: ['text/plain'],
    bytes: Buffer.alloc(sizeBytes, 'x')
  })
  const add = (sizeBytes = 1000, userId = 'u1', sessionId?: string) =>
    files.add({ userId, sessionId, files: [claimed(sizeBytes)] })
  const rows = gateway.app.store.collection<FileRow>('files')
  const usage = gateway.app.store.collection<FileUsageRow>('file_usage')
  return { ...gateway, clock, files, claimed, add, rows, usage, kept: (userId = 'u1') => keptFiles(gateway, userId) }
}

t.test('the quota is exact, however many come and go at once', async (t) => {
  const { add, files, kept } = await start(t)
  const added = await Promise.allSettled(Array.from({ length: 30 }, () => add(1000)))
  const there = added.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const refused = added.flatMap((one) => (one.status === 'rejected' ? [one.reason.code] : []))
  t.equal(there.length, 10, '10,485 bytes have room for ten')
  t.same(new Set(refused), new Set(['file_quota_exceeded']))
  t.match(await kept(), { bytes: 10_000, files: 10 })
  const full = await kept()
  t.equal(full.rows.length, 10)
  t.equal(full.blobs.length, 10)

  await t.rejects(add(486), { code: 'file_quota_exceeded' })
  await add(485)
  await t.rejects(add(1), { code: 'file_quota_exceeded' }, 'to the byte')
  await add(0)
  await add(5000, 'u2')

  // Deleted twice each, and all at once.
  const removed = await Promise.allSettled([...there, ...there].map(({ id }) => files.remove('u1', id)))
  t.equal(removed.filter(({ status }) => status === 'fulfilled').length, 10)
  t.match(await kept(), { bytes: 485, files: 2, usage: { released: {} } })
  t.match(await kept('u2'), { bytes: 5000, files: 1 })
  t.equal((await kept()).blobs.length, 3)
})

t.test('several files come together or not at all', async (t) => {
  const { files, claimed, kept } = await start(t)
  const arrive = (sizes: number[]) => files.arrive({ userId: 'u1', files: sizes.map((size) => claimed(size)) })
  await t.rejects(arrive([6000, 6000]), { code: 'file_quota_exceeded' })
  t.match(await kept(), NOTHING)
  const arrival = await arrive([6000, 2000])
  t.match(await kept(), { bytes: 8000, files: 2, blobs: [] })
  await t.rejects(arrive([3000]), { code: 'file_quota_exceeded' }, 'the place is taken before the bytes are there')
  const [row] = arrival.rows
  await t.rejects(files.owned('u1', row?.id ?? ''), { code: 'file_not_found' })
  await arrival.store()
  await arrival.giveUp()
  t.match(await kept(), NOTHING)
  await arrival.giveUp()
  t.match(await kept(), NOTHING, 'a second time changes nothing')
})

t.test('a file goes with the last session that has it', async (t) => {
  const { add, files, kept, rows } = await start(t)
  const shared = await add(100, 'u1', 's.1')
  const single = await add(200, 'u1', 's.1')
  const other = await add(300, 'u1', 's:2')
  const loose = await add(400)
  t.equal(await files.use(shared, 's:2'), true)
  t.same(
    (await files.ofSession('u1', 's.1', { after: undefined, limit: 10 })).map(({ id }) => id).toSorted(),
    [shared.id, single.id].toSorted()
  )
  t.same(await files.ofSession('u2', 's.1', { after: undefined, limit: 10 }), [])
  t.equal(await files.removeOfSession('u2', 's.1'), 0, "somebody else's session of this name")
  t.equal(await files.removeOfSession('u1', 's.1'), 1)
  t.match(await kept(), { bytes: 800, files: 3 })
  t.equal(await files.removeOfSession('u1', 's.1'), 0)
  t.equal(await files.removeOfSession('u1', 's:2'), 2)
  t.same(
    (await rows.list({ limit: 10 })).map(({ id }) => id),
    [loose.id]
  )
  t.equal(await files.use(other, 's:2'), false, 'it is gone')
  t.equal(await files.removeAllOf('u1'), 1)
  t.match(await kept(), NOTHING)
})

t.test('a file that comes into a session while that is deleted is not lost', async (t) => {
  const { add, files, rows } = await start(t)
  for (let round = 0; round < 10; round++) {
    const row = await add(10, 'u1', 'old')
    const [removed, isUsed] = await Promise.all([files.removeOfSession('u1', 'old'), files.use(row, 'new')])
    const left = await rows.get(row.id)
    t.equal(left !== undefined, isUsed, 'who was told that it is used finds it')
    t.equal(removed, isUsed ? 0 : 1)
    t.equal(await files.removeOfSession('u1', 'new'), isUsed ? 1 : 0)
  }
})

t.test('all of a user goes, also what is still coming, which then cannot be kept', async (t) => {
  const { add, files, claimed, kept, usage } = await start(t)
  await add(100)
  const arrival = await files.arrive({ userId: 'u1', files: [claimed(50)] })
  await arrival.store()
  t.equal(await files.removeAllOf('u1'), 2)
  await t.rejects(arrival.keep({ isUsed: true }), { code: 'store_unavailable' })
  await arrival.giveUp()
  t.match(await kept(), NOTHING)
  t.equal(await usage.get('u1'), undefined)
})

t.test('what no message has named for a day goes', async (t) => {
  const { add, files, clock, rows } = await start(t)
  const unused = await add()
  const used = await add()
  await files.use(used, 's1')
  clock.advance(24 * HOUR)
  const fresh = await add()
  t.equal(await files.sweep(), 0, 'not before the day is over')
  clock.advance(1)
  t.equal(await files.sweep(), 1)
  t.equal(await rows.get(unused.id), undefined)
  clock.advance(48 * HOUR)
  t.equal(await files.sweep(), 1)
  t.same(
    (await rows.list({ limit: 10 })).map(({ id }) => id),
    [used.id]
  )
  await t.rejects(files.owned('u1', fresh.id), { code: 'file_not_found' })
})

t.test('a process that died at any step of coming or going leaves nothing', async (t) => {
  const { add, files, claimed, clock, kept, rows, usage, app } = await start(t)
  // Came: the place alone, and the bytes too.
  await files.arrive({ userId: 'u1', files: [claimed(10)] })
  await (await files.arrive({ userId: 'u1', files: [claimed(20)] })).store()
  // Went: the state, the bytes, the count, the row.
  const going = await Promise.all([add(30), add(40), add(50), add(60)])
  for (const [steps, { id, sizeBytes }] of going.entries()) {
    await rows.update(id, {}, { set: { state: 'leaving', stateAt: clock.now() }, inc: { version: 1 } })
    if (steps > 0) await app.blobs.remove(id)
    if (steps > 1)
      await usage.update('u1', {}, { inc: { bytes: -sizeBytes, files: -1 }, set: { [`released.${id}`]: true } })
    if (steps > 2) await rows.remove(id)
  }
  t.equal(await files.sweep(), 0, 'it may still be alive')
  clock.advance(2 * HOUR + 1)
  t.equal(await files.sweep(), 5)
  await files.reconcile()
  t.match(await kept(), { ...NOTHING, usage: { released: {} } })
})

t.test('bytes without a row and wrong counts are put right, and nothing else', async (t) => {
  const { add, files, clock, kept, rows, usage, app } = await start(t)
  const row = await add(100)
  await files.use(row, 's1')
  for (const id of ['0-orphan', 'zz-orphan']) await app.blobs.write(id, Buffer.from('x'), { maxBytes: 1 })
  await usage.update('u1', {}, { set: { bytes: 7, files: 9 } })
  t.same(await files.reconcile(), { orphans: 0, miscounted: 1 }, 'a young one may belong to a copy that is under way')
  t.match(await kept(), { bytes: 100, files: 1 })
  clock.advance(25 * HOUR)
  t.same(await files.reconcile(), { orphans: 2, miscounted: 0 })
  t.same((await kept()).blobs, [row.id])
  await rows.insert({ ...row, id: 'imported', userId: 'u9', sizeBytes: 70 })
  t.equal(await files.recount('u9'), false)
  t.match(await kept('u9'), { bytes: 70, files: 1 })
  t.equal(await files.recount('u9'), true)
})

t.test('a recount while files come and go is right or does nothing', async (t) => {
  const { add, files, kept, usage } = await start(t)
  await add(1)
  const work = Array.from({ length: 20 }, async () => {
    const { id } = await add(100)
    await files.recount('u1')
    await files.remove('u1', id)
    await files.recount('u1')
  })
  await Promise.all(work)
  t.match(await kept(), { bytes: 1, files: 1 })
  t.same((await usage.get('u1'))?.released, {})
})

t.test('a row whose bytes are gone is a file that is not there', async (t) => {
  const { add, files, app } = await start(t)
  const row = await add()
  await app.blobs.remove(row.id)
  await t.rejects(files.read(row), { code: 'file_not_found' })
  await t.rejects(files.bytes(row), { code: 'file_not_found' })
  await files.remove('u1', row.id)
  t.match(await keptFiles({ app }, 'u1'), NOTHING)
})

t.test('the application sees to it by itself', async (t) => {
  const clock = createFakeClock(Date.now())
  const gateway = await buildTestApp(t, { clock })
  const { files, blobs } = gateway.app
  await files.add({ userId: 'u1', files: [{ name: 'a.txt', claims: ['text/plain'], bytes: Buffer.from('x') }] })
  await blobs.write('orphan', Buffer.from('x'), { maxBytes: 1 })
  t.equal((await blobs.list({ limit: 10 })).length, 2)
  clock.advance(25 * HOUR)
  while ((await blobs.list({ limit: 1 })).length > 0 || (await keptFiles(gateway)).rows.length > 0)
    await new Promise((resolve) => void setImmediate(resolve))
  t.match(await keptFiles(gateway, 'u1'), NOTHING)
})
