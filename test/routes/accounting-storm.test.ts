import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import type { AccountingFault, AccountingRequest, AccountingService } from '../stand-in/accounting-service.ts'
import { buildExternalApp } from './accounting-open.ts'

const SEED = Number(process.env['ACCOUNTING_SEED'] ?? 20_261_121)
const USERS = 4
const ROUNDS = 12
const TIMEOUT_MS = 400
/** Longer than the time-out: the answer, or the request itself, arrives when nobody waits for it any more. */
const LATE_MS = 700

t.setTimeout(300_000)

for (const form of ['seed', 'v1'] as const)
  t.test(`${form}: a storm of misbehaviour; every difference between the books is listed`, async (t) => {
    const test = await buildExternalApp(t, { form, timeoutMs: TIMEOUT_MS, credits: 20 })
    const { service, createUser, predict, settled, charges, items, problems } = test
    const users = [test.user]
    while (users.length < USERS) users.push(await createUser({ grants: [DEMO_IDS.echo] }))
    for (const { id } of users) service.balances.set(id, 20)
    const random = createRandom(SEED)
    const storm = createStorm(service, random)
    service.always(storm.fault)

    let delivered = 0
    const statuses = new Map<number, number>()
    await Promise.all(
      users.map(async ({ token }) => {
        for (let round = 0; round < ROUNDS; round++) {
          const replies = await Promise.all([predict({}, token), predict({}, token)])
          for (const reply of replies) {
            statuses.set(reply.statusCode, (statuses.get(reply.statusCode) ?? 0) + 1)
            if (reply.statusCode === 200) delivered += reply.json().credits_charged
          }
        }
      })
    )
    service.always(undefined)
    await storm.passed()
    await settled()

    const rows = await charges()
    const listed = await items()
    const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0)
    t.equal(sum(rows.map(({ amount }) => amount)) / 1_000_000, delivered, 'every answer has its charge')
    const times = (id: string) => service.deductions.filter(({ key }) => key === id).length
    const expected = (state: string) => (state === 'settled' ? 1 : 0)
    const doubtful = new Set(listed.filter(({ isUncertain }) => isUncertain).map(({ chargeId }) => chargeId))
    const wrong = rows.filter(({ id, state }) => times(id) !== expected(state) && !doubtful.has(id))
    t.same(wrong, [], 'what is not listed was deducted exactly as it says here')
    const settledHere = sum(rows.map(({ state }) => expected(state)))
    const explained = rows.filter(({ id }) => doubtful.has(id)).map(({ id, state }) => times(id) - expected(state))
    t.equal(sum(service.deductions.map(({ credits }) => credits)), settledHere + sum(explained))
    for (const { id } of rows.filter(({ state }) => state === 'refused'))
      t.ok(listed.some(({ chargeId, kind }) => chargeId === id && kind === 'refused'))
    t.same(await problems(), [])
    t.ok([...statuses.keys()].every((status) => [200, 402, 503].includes(status)))
    t.comment({ seed: SEED, statuses: Object.fromEntries(statuses), charges: rows.length, listed: listed.length })
    t.ok(rows.length > 10 && listed.length > 0, 'it was a storm')
  })

/** What goes wrong, by chance; what is late comes on its own. */
function createStorm(service: AccountingService, random: () => number) {
  const late: Promise<void>[] = []
  let gates = 0

  function lateGate(): string {
    const name = `late-${gates++}`
    late.push(
      new Promise((resolve) => {
        setTimeout(() => {
          service.open(name)
          resolve()
        }, LATE_MS)
      })
    )
    return name
  }

  const onDeduction: (() => AccountingFault)[] = [
    ...[401, 404, 429].map((status) => () => ({ status })),
    () => ({ status: 402 }),
    () => ({ status: 500 }),
    () => ({ status: 503, isDone: true }),
    () => ({ reset: true }),
    () => ({ reset: true, isDone: true }),
    () => ({ status: 200, headers: { 'content-type': 'text/html' }, body: '<p>', isDone: true }),
    () => ({ gates: { answer: lateGate() } }),
    () => ({ gates: { before: lateGate() } })
  ]
  const onBalance: (() => AccountingFault)[] = [
    ...[401, 404, 500].map((status) => () => ({ status })),
    () => ({ reset: true }),
    () => ({ status: 200, body: '{"credits":"12","totalCredits":null}' }),
    () => ({ gates: { answer: lateGate() } })
  ]

  return {
    fault({ method, url }: AccountingRequest): AccountingFault | undefined {
      const isDeduction = /deduct|remove/.test(url)
      const faults = isDeduction ? onDeduction : onBalance
      if ((!isDeduction && method !== 'GET') || random() > (isDeduction ? 0.5 : 0.15)) return undefined
      return faults[Math.floor(random() * faults.length)]?.()
    },
    /** Resolves when everything that was late has come. */
    async passed(): Promise<void> {
      await Promise.all(late)
    }
  }
}

/** The same numbers for the same seed (mulberry32). */
function createRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
