import t from 'tap'
import { decideMoney } from '../../src/credits/outcome.ts'
import type { Ending, Facts, Money } from '../../src/credits/outcome.ts'

const price = { kind: 'flat', amountMicro: 500 } as const
const metered = { kind: 'metered', per1kTokensMicro: 1000, floorMicro: 10, ceilingMicro: 100 } as const
const nothing: Facts = { hasOutput: false, usedMicro: 0, price }
const output: Facts = { hasOutput: true, usedMicro: 500, price }
const meteredNothing: Facts = { hasOutput: false, usedMicro: 0, price: metered }
const meteredOutput: Facts = { hasOutput: true, usedMicro: 40, price: metered }
const meteredUsage: Facts = { hasOutput: true, usedMicro: 40, tokens: { total: 70 }, price: metered }

const free: Money = { action: 'void' }
const flat: Money = { action: 'settle', costMicro: 500, isEstimated: false }
const counted: Money = { action: 'settle', costMicro: 40, isEstimated: true }
const reported: Money = { action: 'settle', costMicro: 70, isEstimated: false }

const table: [Ending, flat: Money, meteredWithoutUsage: Money, meteredWithUsage: Money][] = [
  ['refused', free, free, free],
  ['failed_before_output', free, free, free],
  ['failed_after_output', flat, counted, reported],
  ['completed', flat, counted, reported],
  ['closed_without_end', flat, counted, reported],
  ['stopped', flat, counted, reported],
  ['abandoned', flat, counted, reported],
  ['idle_timeout', flat, counted, reported],
  ['deadline', flat, counted, reported],
  ['credits_exhausted', flat, counted, reported],
  ['drained', flat, counted, reported]
]

t.test('what each ending costs when something was delivered', async (t) => {
  for (const [ending, flatMoney, withoutUsage, withUsage] of table) {
    t.same(decideMoney(ending, output), flatMoney, `${ending}, flat`)
    t.same(decideMoney(ending, meteredOutput), withoutUsage, `${ending}, metered, no usage reported`)
    t.same(decideMoney(ending, meteredUsage), withUsage, `${ending}, metered, usage reported`)
  }
})

t.test('what delivered nothing costs nothing, however it ended', async (t) => {
  for (const [ending] of table) {
    t.same(decideMoney(ending, nothing), free, ending)
    t.same(decideMoney(ending, meteredNothing), free, ending)
    t.same(decideMoney(ending, { ...meteredNothing, tokens: { total: 900 } }), free, ending)
  }
})

t.test('a cost of nothing gives the hold back', async (t) => {
  t.same(decideMoney('completed', { ...output, price: { kind: 'flat', amountMicro: 0 } }), free)
  t.same(decideMoney('stopped', { ...output, usedMicro: 0 }), free)
  t.same(decideMoney('completed', { ...meteredUsage, tokens: { total: 0 } }), free)
})
