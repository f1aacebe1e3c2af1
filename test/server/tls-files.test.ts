import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openKeyPair, validityProblem } from '../../src/tls.ts'
import { makeCertificate } from './certificate.ts'
import { writePair } from './secure.ts'

const DAY_MS = 86_400_000

/** What `openKeyPair` says about these contents; undefined leaves a file out. */
async function refusal(t: Test, pair: { cert?: string | undefined; key?: string | undefined }): Promise<string> {
  const folder = t.testdir()
  const files = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') }
  if (pair.cert !== undefined) writeFileSync(files.certFile, pair.cert)
  if (pair.key !== undefined) writeFileSync(files.keyFile, pair.key)
  return openKeyPair(files).then(
    () => 'accepted',
    (error: Error) => error.message
  )
}

t.test('each thing that is wrong with the files has its sentence', async (t) => {
  const { cert, key } = makeCertificate()
  const other = makeCertificate()
  const chain = `${other.cert}${cert}`
  const cases: [name: string, pair: { cert?: string | undefined; key?: string | undefined }, sentence: RegExp][] = [
    ['both right', { cert, key }, /^accepted$/],
    ['with text around it', { cert: `subject=x\n${cert}`, key: `Bag Attributes\n${key}` }, /^accepted$/],
    ['a chain', { cert: `${cert}${other.cert}`, key }, /^accepted$/],
    ['no certificate file', { key }, /^TLS_CERT_FILE cannot be read \(ENOENT\)\.$/],
    ['no key file', { cert }, /^TLS_KEY_FILE cannot be read \(ENOENT\)\.$/],
    ['an empty certificate', { cert: '', key }, /^TLS_CERT_FILE holds no certificate/],
    ['a key as certificate', { cert: key, key }, /^TLS_CERT_FILE holds no certificate/],
    ['a broken certificate', { cert: cert.replace(/[A-Za-z]{8}/, 'AAAAAAAA'), key }, /^TLS_CERT_FILE/],
    ['an empty key', { cert, key: '' }, /^TLS_KEY_FILE holds no private key/],
    ['half a key', { cert, key: key.slice(0, 80) }, /^TLS_KEY_FILE holds no private key/],
    ['a certificate as key', { cert, key: cert }, /^TLS_KEY_FILE holds no private key/],
    ['the key of another', { cert, key: other.key }, /^TLS_KEY_FILE is not the key of/],
    ['a chain in the wrong order', { cert: chain, key }, /^TLS_KEY_FILE is not the key of the first certificate/],
    ['too much', { cert: 'x'.repeat(2_000_000), key }, /^TLS_CERT_FILE is not a file in PEM/]
  ]
  for (const [name, pair, sentence] of cases) {
    const told = await refusal(t, pair)
    t.match(told, sentence, name)
    t.ok(told.length < 120 && !told.includes(key.slice(40, 60)), 'nothing of the key')
  }
})

t.test('a key that stands where its path belongs is not repeated', async (t) => {
  const { files, key } = writePair(t)
  const told = await openKeyPair({ ...files, keyFile: key }).catch((error: Error) => error.message)
  t.match(told, /^TLS_KEY_FILE cannot be read/)
  t.notMatch(told, key.slice(40, 60))
})

t.test('what is no file or may not be read is named', async (t) => {
  const { files, folder } = writePair(t)
  await t.rejects(openKeyPair({ ...files, certFile: folder }), { message: 'TLS_CERT_FILE is not a file in PEM.' })
  await t.rejects(openKeyPair({ ...files, keyFile: '/dev/zero' }), { message: 'TLS_KEY_FILE is not a file in PEM.' })
  chmodSync(files.keyFile, 0)
  const isAllowed = process.getuid?.() === 0
  const opened = openKeyPair(files)
  if (isAllowed) await t.resolves(opened, 'root reads everything')
  else await t.rejects(opened, { message: 'TLS_KEY_FILE cannot be read (EACCES).' })
})

t.test('a new pair counts when two looks have found the same', async (t) => {
  const { files, cert } = writePair(t)
  const pair = await openKeyPair(files)
  t.equal(await pair.reread(), undefined, 'nothing new')
  const next = makeCertificate()
  writeFileSync(files.certFile, next.cert)
  t.equal(await pair.reread(), undefined, 'half of it')
  writeFileSync(files.keyFile, next.key)
  t.equal(await pair.reread(), undefined, 'all of it, seen once')
  t.equal(pair.current.cert, cert)
  t.equal((await pair.reread())?.cert, next.cert)
  t.equal(pair.current.key, next.key)
  t.equal(await pair.reread(), undefined)
})

t.test('files that cannot be used are told once, and the pair in use stays', async (t) => {
  const { files, cert, key } = writePair(t)
  const pair = await openKeyPair(files)
  writeFileSync(files.certFile, 'not a certificate')
  t.equal(await pair.reread(), undefined)
  await t.rejects(pair.reread(), { message: /^TLS_CERT_FILE holds no certificate/ })
  t.equal(await pair.reread(), undefined)
  rmSync(files.keyFile)
  t.equal(await pair.reread(), undefined)
  await t.rejects(pair.reread(), { message: /^TLS_KEY_FILE cannot be read/ })
  t.equal(await pair.reread(), undefined)
  t.equal(pair.current.cert, cert)
  writeFileSync(files.certFile, cert)
  writeFileSync(files.keyFile, key)
  await pair.reread()
  t.equal((await pair.reread())?.cert, cert, 'as good as new')
})

t.test('renamed files and swapped links are changes like any other', async (t) => {
  const folder = t.testdir()
  const pairs = [makeCertificate(), makeCertificate(), makeCertificate()]
  for (const [n, { cert, key }] of pairs.entries()) {
    mkdirSync(join(folder, `..${n}`))
    writeFileSync(join(folder, `..${n}`, 'tls.crt'), cert)
    writeFileSync(join(folder, `..${n}`, 'tls.key'), key)
  }
  // As Kubernetes mounts a secret: files are links through a link that is replaced in one step.
  symlinkSync('..0', join(folder, '..data'))
  for (const name of ['tls.crt', 'tls.key']) symlinkSync(join('..data', name), join(folder, name))
  const files = await openKeyPair({ certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') })
  symlinkSync('..1', join(folder, '..data_tmp'))
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
  await files.reread()
  t.equal((await files.reread())?.cert, pairs[1]?.cert)
  for (const name of ['tls.crt', 'tls.key']) {
    writeFileSync(join(folder, `${name}.new`), pairs[2]?.[name === 'tls.crt' ? 'cert' : 'key'] ?? '')
    renameSync(join(folder, `${name}.new`), join(folder, name))
  }
  await files.reread()
  t.equal((await files.reread())?.cert, pairs[2]?.cert)
})

t.test('the dates of a certificate', async (t) => {
  const { files } = writePair(t, makeCertificate({ fromDays: -10, toDays: 10 }))
  const { current } = await openKeyPair(files)
  t.equal(validityProblem(current, Date.now()), undefined)
  t.match(validityProblem(current, Date.now() + 11 * DAY_MS), /expired/)
  t.match(validityProblem(current, Date.now() - 11 * DAY_MS), /not valid yet/)
})
