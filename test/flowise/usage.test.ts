import t from 'tap'
import { usageOf, usageOfExecution } from '../../src/flowise/usage.ts'

const node = (usageMetadata: unknown) => ({ data: { output: { usageMetadata } } })

t.test('a usage record is its total, its directions and what the models cost', async (t) => {
  const record = { input_tokens: 11, output_tokens: 4, total_tokens: 15, total_cost: 0.002 }
  t.same(usageOf(record), { input: 11, output: 4, total: 15, modelCost: 0.002 })
  t.same(usageOf({ input_tokens: 2, output_tokens: 3 }), { input: 2, output: 3, total: 5 })
  t.same(usageOf({ output_tokens: 3 }), { output: 3, total: 3 })
  t.same(usageOf({ total_tokens: 7 }), { total: 7 }, 'nothing is made up of a sum')
  t.equal(usageOf({ total_tokens: 1, input_cost: 0.25, output_cost: 0.5 })?.modelCost, 0.75)
})

t.test('what is no count is not counted', async (t) => {
  for (const total_tokens of [-1, 1.5, '7', null, Number.NaN, 1e12]) t.equal(usageOf({ total_tokens }), undefined)
  for (const record of [undefined, null, 'text', [], {}]) t.equal(usageOf(record), undefined)
  t.same(usageOf({ total_tokens: 1, total_cost: '1' }), { total: 1 })
  t.same(usageOf({ total_tokens: 1, total_cost: -1 }), { total: 1 })
})

t.test('the usage of an execution is that of all its nodes', async (t) => {
  const nodes = [
    node({ input_tokens: 10, output_tokens: 1, total_tokens: 11, total_cost: 0.5 }),
    node(undefined),
    { data: null },
    node({ input_tokens: 20, output_tokens: 2, total_tokens: 25 })
  ]
  t.same(usageOfExecution(nodes), { input: 30, output: 3, total: 36, modelCost: 0.5 })
  t.equal(usageOfExecution([node(undefined), {}, 'text']), undefined)
  t.equal(usageOfExecution('text'), undefined)
})
