import { renameSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { makeCertificate } from './certificate.ts'
import { isTrusted, startSecureProcess } from './secure-process.ts'

t.test('a renewed certificate is used without a restart, a broken one is not', async (t) => {
  const gateway = await startSecureProcess(t)
  const { files, url, cert } = gateway
  const running = await gateway.connect()
  writeFileSync(files.certFile, 'rubbish')
  await gateway.printed('certificate not read again')
  t.ok(await isTrusted(url, { ca: cert }), 'the old one stays')
  const next = makeCertificate()
  writeFileSync(`${files.keyFile}.new`, next.key)
  writeFileSync(`${files.certFile}.new`, next.cert)
  renameSync(`${files.keyFile}.new`, files.keyFile)
  renameSync(`${files.certFile}.new`, files.certFile)
  await gateway.printed('"msg":"certificate read again"')
  t.ok(await isTrusted(url, { ca: next.cert }))
  t.notOk(await isTrusted(url, { ca: cert }))
  t.equal((await running.json('/health')).status, 200, 'who was connected goes on')
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.exit, 0)
  t.equal(gateway.stdout().match(/certificate not read again/g)?.length, 1)
  t.notMatch(gateway.stdout() + gateway.stderr(), /PRIVATE|rubbish/)
})
