import * as fc from 'fast-check'
import t from 'tap'
import { costOfTokens, sizeOfHold, toCredits, toMicro } from '../../src/credits/pricing.ts'

t.test('decimal credits become micro-credits exactly', async (t) => {
  const table: [number, number][] = [
    [0, 0],
    [-0, 0],
    [1, 1_000_000],
    [0.000001, 1],
    [1e-6, 1],
    [0.1, 100_000],
    [0.3, 300_000],
    [1.1, 1_100_000],
    [-2.5, -2_500_000],
    [123_456.654321, 123_456_654_321],
    [1_000_000_000.000001, 1_000_000_000_000_001]
  ]
  for (const [credits, micro] of table) {
    t.ok(Object.is(toMicro(credits), micro), `${credits}`)
    t.equal(toCredits(micro), credits + 0)
  }
})

t.test('what is not an amount with six decimals is refused', async (t) => {
  for (const credits of [1e-7, 0.1 + 0.2, 1.0000001, Number.NaN, Infinity, -Infinity, 1e10, 2 ** 53, 0.0000015]) {
    t.throws(() => toMicro(credits), RangeError, `${credits}`)
  }
})

t.test('every amount up to a thousand million credits survives the way out and back', async () => {
  fc.assert(fc.property(fc.integer({ min: -1e15, max: 1e15 }), (micro) => toMicro(toCredits(micro)) === micro))
})

t.test('the size of a hold', async (t) => {
  const metered = { kind: 'metered', per1kTokensMicro: 100, floorMicro: 50, ceilingMicro: 1000 } as const
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i)
  const table: [string, Parameters<typeof sizeOfHold>, number][] = [
    ['flat: the price, whatever the past', [{ kind: 'flat', amountMicro: 7 }, [1000]], 7],
    ['free', [{ kind: 'flat', amountMicro: 0 }, []], 0],
    ['metered without a past: the floor', [metered, []], 50],
    ['metered with a floor of 0: a thousand tokens', [{ ...metered, floorMicro: 0 }, []], 100],
    ['p95 and a fifth', [metered, hundred], 114],
    ['rounded up', [metered, [51]], 62],
    ['not below the floor', [metered, [1, 2, 3]], 50],
    ['not above the ceiling', [metered, [900]], 1000],
    ['one outlier in a hundred does not count', [metered, [...hundred.slice(1), 5000]], 114]
  ]
  for (const [title, args, size] of table) t.equal(sizeOfHold(...args), size, title)
})

t.test('tokens cost their thousandth, rounded up', async (t) => {
  const price = (per1kTokensMicro: number) =>
    ({ kind: 'metered', per1kTokensMicro, floorMicro: 0, ceilingMicro: 0 }) as const
  t.equal(costOfTokens(price(1000), { total: 0 }), 0)
  t.equal(costOfTokens(price(1000), { total: 1 }), 1)
  t.equal(costOfTokens(price(1), { total: 1 }), 1)
  t.equal(costOfTokens(price(1), { total: 1001 }), 2)
  t.equal(costOfTokens(price(2_000_000), { total: 1500 }), 3_000_000)
  t.equal(costOfTokens(price(1e12), { total: 1e6 }), 1e15, 'beyond the safe integers on the way')
})

t.test('output may have a price of its own', async (t) => {
  const price = {
    kind: 'metered',
    per1kTokensMicro: 1000,
    per1kOutputMicro: 4000,
    floorMicro: 0,
    ceilingMicro: 0
  } as const
  const table: [string, Parameters<typeof costOfTokens>[1], number][] = [
    ['both are known', { input: 10, output: 5, total: 15 }, 30],
    ['what is beyond the input is output', { input: 10, output: 5, total: 20 }, 50],
    ['input alone', { input: 10, total: 10 }, 10],
    ['output alone', { output: 5, total: 5 }, 20],
    ['a sum alone goes for the lower price', { total: 15 }, 15],
    ['never more tokens than the total', { input: 30, output: 5, total: 20 }, 20]
  ]
  for (const [title, tokens, cost] of table) t.equal(costOfTokens(price, tokens), cost, title)
  t.equal(costOfTokens({ ...price, per1kTokensMicro: 1, per1kOutputMicro: 1 }, { input: 500, total: 1001 }), 2, 'once')
})
