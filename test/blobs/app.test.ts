import t from 'tap'
import { bytesOf } from '../contract/blobs.ts'
import { buildTestApp } from '../helper.ts'

t.test('the application has the blobs of its store, and closes them with it', async (t) => {
  const { app } = await buildTestApp(t)
  const { blobs } = app
  t.equal(blobs.kind, app.store.kind === 'mongodb' ? 'gridfs' : 'sqlite')
  const id = app.ids.uuid()
  await blobs.write(id, Buffer.from('the bytes of a file'), { maxBytes: 100 })
  t.equal((await bytesOf(blobs, id)).toString(), 'the bytes of a file')
  await app.close()
  await t.rejects(blobs.stat(id), { code: 'store_unavailable' })
})
