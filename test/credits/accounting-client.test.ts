import { createServer } from 'node:http'
import { createSigner, createVerifier } from 'fast-jwt'
import t from 'tap'
import { createFakeClock } from '../clock.ts'
import type { AccountingFault } from '../stand-in/accounting-service.ts'
import { CREDIT, customer, FORMS, openClient, SECRET, startService, USER } from './accounting-open.ts'

const sign = createSigner({ key: SECRET, algorithm: 'HS256' })
const DUE = { id: 'charge-1', userId: USER, credits: 2 }
const BALANCE = /^GET /
const DEDUCT = /^(POST|DELETE) /

const calls = {
  seed: {
    balance: `GET /credits/${USER}`,
    deduct: [`POST /credits/${USER}/deduct`, { amount: 2 }],
    asService: [`POST /credits/${USER}/deduct`, { amount: 2 }]
  },
  v1: {
    balance: 'GET /api/credits/total-balance',
    deduct: ['POST /api/credits/deduct', { credits: 2 }],
    asService: ['DELETE /api/credits/remove', { userId: USER, credits: 2, notes: 'charge charge-1' }]
  }
}

for (const form of FORMS) {
  t.test(`${form}: balance, deduction, and both on the authority of the gateway`, async (t) => {
    const service = await startService(t)
    const client = openClient(t, service.url, { form })
    service.balances.set(USER, 10)
    const who = customer()
    t.same(await client.balance(who), { micro: 10 * CREDIT, isSufficient: true })
    t.match(await client.deduct(DUE, { customer: who, asService: false }), { outcome: 'settled' })
    t.match(await client.deduct(DUE, { customer: who, asService: true }), { outcome: 'settled' })
    t.same(await client.look({ customer: who, asService: true }), { micro: 6 * CREDIT })
    t.equal(service.balances.get(USER), 6)

    const [balance, deduct, asService] = service.requests
    t.equal(`${balance?.method} ${balance?.url}`, calls[form].balance)
    t.same([`${deduct?.method} ${deduct?.url}`, deduct?.body], calls[form].deduct)
    t.same([`${asService?.method} ${asService?.url}`, asService?.body], calls[form].asService)
    t.equal(deduct?.headers['idempotency-key'], DUE.id)
    t.match(deduct?.claims, { sub: USER, user_id: USER, email: who.email, role: 'user', type: 'access' })
    t.match(asService?.claims, {
      sub: 'gateway-service',
      username: 'gateway-service',
      email: 'gateway-service@system.local',
      role: 'admin',
      type: 'access'
    })
    const lives = [deduct, asService].map((request) => Number(request?.claims?.exp) - Number(request?.claims?.iat))
    t.same(lives, [300, 900])
  })

  t.test(`${form}: what each answer to a deduction means`, async (t) => {
    const service = await startService(t)
    const client = openClient(t, service.url, { form, timeoutMs: 300 })
    service.balances.set(USER, 1000)
    const html = { 'content-type': 'text/html' }
    const table: [string, AccountingFault, string][] = [
      ...[400, 402, 409, 422].map((status): [string, AccountingFault, string] => [`${status}`, { status }, 'refused']),
      ...[401, 403].map((status): [string, AccountingFault, string] => [`${status}`, { status }, 'unauthorized']),
      ...[404, 405, 429, 302].map((status): [string, AccountingFault, string] => [`${status}`, { status }, 'unheard']),
      ...[500, 502, 503, 504, 408].map((status): [string, AccountingFault, string] => [
        `${status}`,
        { status },
        'unknown'
      ]),
      ['reset', { reset: true }, 'unknown'],
      ['a web page', { status: 200, headers: html, body: '<p>Log in</p>' }, 'unknown'],
      ['a time-out', { gates: { answer: 'never' }, isDone: true }, 'unknown'],
      ['a body too large', { status: 200, body: 'x'.repeat(2_000_000) }, 'unknown']
    ]
    for (const [title, fault, outcome] of table) {
      service.next(fault, DEDUCT)
      t.match(await client.deduct(DUE, { customer: customer(), asService: false }), { outcome }, title)
    }
    service.next({ status: 429, headers: { 'retry-after': '7' } }, DEDUCT)
    t.match(await client.deduct(DUE, { customer: customer(), asService: false }), { retryAfterMs: 7000 })
  })

  t.test(`${form}: a balance that is not told is never taken for none`, async (t) => {
    const service = await startService(t)
    const client = openClient(t, service.url, { form, timeoutMs: 300 })
    const member = form === 'seed' ? 'credits' : 'totalCredits'
    const faults: AccountingFault[] = [
      ...[401, 403, 404, 429, 500, 503].map((status) => ({ status })),
      { reset: true },
      { gates: { before: 'never' } },
      ...['', 'null', '[]', '{}', `{"${member}":"5"}`, `{"${member}":null}`, `{"${member}":1e999}`].map((body) => ({
        status: 200,
        body
      }))
    ]
    for (const fault of faults) {
      service.next(fault, BALANCE)
      await t.rejects(client.balance(customer()), { code: 'accounting_unavailable' }, JSON.stringify(fault))
    }
    service.next({ status: 200, body: JSON.stringify({ [member]: 2.75 }) }, BALANCE)
    t.match(await client.balance(customer()), { micro: 2_750_000 })
  })

  t.test(`${form}: the bearer of the client goes along while the service can verify it`, async (t) => {
    const service = await startService(t)
    const clock = createFakeClock(Date.now())
    const client = openClient(t, service.url, { form, clock })
    const claims = { sub: USER, mark: 'own', exp: Math.floor(clock.now() / 1000) + 60 }
    const own = { ...customer(), bearer: sign(claims), expiresAt: claims.exp * 1000 }
    await client.balance(own)
    t.match(service.requests.at(-1)?.claims, { mark: 'own' })

    const foreign = createSigner({ key: 'k'.repeat(64), algorithm: 'HS512' })(claims)
    await client.balance({ ...own, bearer: foreign })
    t.match(service.requests.at(-1)?.claims, { sub: USER, mark: undefined })

    service.next({ status: 401 }, BALANCE)
    await t.rejects(client.balance(own), { code: 'accounting_unavailable' }, 'not run out: not the fault of the client')
    clock.advance(61_000)
    service.next({ status: 401 }, BALANCE)
    await t.rejects(client.balance(own), { code: 'token_expired' })
  })
}

t.test('seed: insufficient by its own word', async (t) => {
  const service = await startService(t)
  const client = openClient(t, service.url)
  service.next({ status: 200, body: '{"credits":5,"sufficient":false}' }, BALANCE)
  t.same(await client.balance(customer()), { micro: 5 * CREDIT, isSufficient: false })
})

t.test('v1: success without the word for it is unknown, and a usage record wants 201', async (t) => {
  const service = await startService(t)
  const client = openClient(t, service.url, { form: 'v1' })
  const asker = { customer: customer(), asService: false }
  for (const body of ['{"success":false}', 'null', 'done', '']) {
    service.next({ status: 200, body }, DEDUCT)
    t.match(await client.deduct(DUE, asker), { outcome: 'unknown' }, body)
  }
  const ids = { chargeId: 'c', sessionId: 's', messageId: 'm' }
  const usage = { chatflowId: 'f'.repeat(120), credits: 2, isSuccess: true, isStream: false, ...ids }
  await client.record(usage, customer())
  t.same(service.usage, [
    {
      service: 'chat',
      operation: 'f'.repeat(100),
      credits: 2,
      metadata: { success: true, streaming: false, charge_id: 'c', session_id: 's', message_id: 'm' }
    }
  ])
  service.next({ status: 200 }, /usage/)
  await t.rejects(client.record(usage, customer()), /status 200/)
})

t.test('nobody there, and a name that is none: nothing was sent', async (t) => {
  const gone = createServer()
  await new Promise<void>((resolve) => void gone.listen(0, '127.0.0.1', resolve))
  const address = gone.address()
  const port = typeof address === 'object' && address ? address.port : 0
  await new Promise((resolve) => void gone.close(resolve))
  for (const url of [`http://127.0.0.1:${port}`, 'http://accounting.invalid']) {
    const client = openClient(t, url)
    t.match(await client.deduct(DUE, { customer: customer(), asService: false }), { outcome: 'unheard' }, url)
    await t.rejects(client.balance(customer()), { code: 'accounting_unavailable' })
    await t.rejects(client.ping())
  }
})

t.test('an id cannot leave its place in the path, and no bearer is in an error', async (t) => {
  const service = await startService(t)
  const client = openClient(t, service.url)
  for (const userId of ['..', '.', 'a/b?c#d', 'ü']) await client.balance(customer(userId)).catch(() => {})
  t.same(
    service.requests.map(({ url }) => url),
    ['/credits/%2E%2E', '/credits/%2E', '/credits/a%2Fb%3Fc%23d', '/credits/%C3%BC']
  )
  service.next({ status: 500, body: '{"secret":"theirs"}' }, BALANCE)
  const error = await client.balance(customer()).catch((failure: unknown) => failure)
  t.notMatch(JSON.stringify([error, String(error instanceof Error ? error.cause : '')]), /Bearer|theirs/)
})

t.test('ping: any answer but a failure will do', async (t) => {
  const service = await startService(t)
  const client = openClient(t, service.url)
  await t.resolves(client.ping())
  service.next({ status: 404 }, BALANCE)
  await t.resolves(client.ping())
  service.next({ status: 503 }, BALANCE)
  await t.rejects(client.ping())
  t.ok(createVerifier({ key: SECRET })(String(service.requests[0]?.headers.authorization).slice(7)))
})
