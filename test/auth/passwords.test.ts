import { getRounds, hash as hashAtCost } from 'bcryptjs'
import t from 'tap'
import { BCRYPT_COST, createBcryptThread } from '../../src/auth/bcrypt.ts'
import { createPasswords } from '../../src/auth/passwords.ts'
import { codeOf, countingBcrypt } from './parts.ts'

t.test('the production cost is 10 or more', async (t) => {
  t.ok(BCRYPT_COST >= 10)
  const bcrypt = createBcryptThread()
  t.teardown(() => bcrypt.close())
  t.equal(getRounds(await bcrypt.hash('a password')), BCRYPT_COST)
})

t.test('a hash verifies its own password and no other', async (t) => {
  const passwords = createPasswords(countingBcrypt())
  const hash = await passwords.hash('correct horse')
  t.equal(await passwords.verify('correct horse', hash), true)
  t.equal(await passwords.verify('correct hors', hash), false)
})

t.test('a password has 8 characters or more and 72 bytes or fewer', async (t) => {
  const passwords = createPasswords(countingBcrypt())
  t.equal(await codeOf(passwords.hash('1234567')), 'validation_error')
  t.equal(await codeOf(passwords.hash('12345678')), undefined)
  t.equal(await codeOf(passwords.hash('🔑🔑🔑🔑')), 'validation_error', 'characters, not UTF-16 units')
  t.equal(await codeOf(passwords.hash('x'.repeat(72))), undefined)
  t.equal(await codeOf(passwords.hash('x'.repeat(73))), 'validation_error')
  t.equal(await codeOf(passwords.hash('é'.repeat(37))), 'validation_error', '74 bytes')
})

t.test('what bcrypt would cut off is not ignored', async (t) => {
  const passwords = createPasswords(countingBcrypt())
  const hash = await passwords.hash('x'.repeat(72))
  t.equal(await passwords.verify('x'.repeat(73), hash), false)
})

t.test('without a hash the answer is no, after the same comparison', async (t) => {
  const bcrypt = countingBcrypt()
  const passwords = createPasswords(bcrypt)
  const hash = await passwords.hash('correct horse')
  await passwords.verify('wrong password', hash)
  t.equal(bcrypt.comparisons, 1)
  t.equal(await passwords.verify('wrong password', undefined), false)
  t.equal(bcrypt.comparisons, 2)
  t.equal(await passwords.verify('a password that nobody has', undefined), false, 'nobody logs in with the decoy')
})

t.test('hashes of another cost do not tell by their time whose they are', async (t) => {
  const bcrypt = countingBcrypt()
  const { compare } = bcrypt
  let work = 0
  bcrypt.compare = (password, stored) => {
    work += 2 ** getRounds(stored)
    return compare(password, stored)
  }
  const passwords = createPasswords(bcrypt)
  const workOf = async (hash: string | undefined) => {
    work = 0
    t.equal(await passwords.verify('wrong password', hash), false)
    return work
  }
  const [own, imported] = [await passwords.hash('a password'), await hashAtCost('a password', 7)]
  t.equal(await workOf(own), 2 ** 4)
  t.equal(await workOf(imported), 2 ** 7)
  t.equal(await workOf(own), 2 ** 7, 'as much as for the imported one')
  t.equal(await workOf(undefined), 2 ** 7)
  t.equal(await workOf(imported), 2 ** 7)
  t.equal(await passwords.verify('a password', own), true)
  t.equal(await passwords.verify('a password', imported), true)
  t.equal(await passwords.verify('a password', 'no hash at all'), false)
})

t.test('a failure of the decoy does not last', async (t) => {
  const bcrypt = countingBcrypt()
  const { hash } = bcrypt
  bcrypt.hash = () => Promise.reject(new Error('no thread'))
  const passwords = createPasswords(bcrypt)
  await t.rejects(passwords.verify('wrong password', undefined))
  bcrypt.hash = hash
  t.equal(await passwords.verify('wrong password', undefined), false)
})

t.test('more work than can wait is refused as overloaded', async (t) => {
  const passwords = createPasswords(countingBcrypt(), 2)
  const outcomes = await Promise.all(
    ['first password', 'second password', 'third password'].map((word) => codeOf(passwords.hash(word)))
  )
  t.strictSame(outcomes, [undefined, undefined, 'overloaded'])
  t.equal(await codeOf(passwords.hash('a later one')), undefined, 'and accepted again afterwards')
})

t.test('the thread answers each job with its own result', async (t) => {
  const bcrypt = createBcryptThread(4)
  t.teardown(() => bcrypt.close())
  const hashes = await Promise.all(['one password', 'two password'].map((word) => bcrypt.hash(word)))
  const checks = [bcrypt.compare('one password', hashes[0] ?? ''), bcrypt.compare('one password', hashes[1] ?? '')]
  t.strictSame(await Promise.all(checks), [true, false])
})

t.test('closing the thread ends what waits for it, and it starts anew when needed', async (t) => {
  const bcrypt = createBcryptThread(4)
  t.teardown(() => bcrypt.close())
  const waiting = codeOf(bcrypt.hash('one password'))
  await bcrypt.close()
  t.equal(await waiting, 'overloaded')
  t.ok(await bcrypt.hash('two password'))
})

t.test('a job that bcrypt refuses fails alone', async (t) => {
  const bcrypt = createBcryptThread(4)
  t.teardown(() => bcrypt.close())
  const bad = bcrypt.hash.call(undefined, undefined as unknown as string)
  await t.rejects(bad)
  t.ok(await bcrypt.hash('two password'))
})
