import t from 'tap'
import type { Rounds } from '../../bench/comparison.ts'
import { tableOf } from '../../bench/table.ts'

const rounds: Rounds = new Map([
  [
    'gateway',
    [
      { cpu: 20, gap: 8 },
      { cpu: 90, gap: 6 },
      { cpu: 30, gap: 7 }
    ]
  ],
  [
    'proxy',
    [
      { cpu: 10, gap: 5 },
      { cpu: 30, gap: 5 },
      { cpu: 10, gap: 5 }
    ]
  ],
  ['direct', [{ gap: 1 }, { gap: 2 }, { gap: 3 }]]
])
const candidates = ['gateway', 'proxy', 'direct', 'absent'].map((name) => ({ name, title: `the ${name}` }))

t.test('a cell has the median, the range and the median of the ratios of each round', async (t) => {
  const metrics = [{ key: 'cpu', title: 'CPU', digits: 0, ratioTo: 'proxy' }]
  t.strictSame(tableOf(metrics, candidates, rounds).split('\n'), [
    '|  | CPU |',
    '| --- | ---: |',
    '| the gateway | 30 (20 to 90), **× 3.00** |',
    '| the proxy | 10 (10 to 30), **× 1.00** |',
    '| the direct | - |'
  ])
})

t.test('what is added is what the other does not have in the same round', async (t) => {
  const metrics = [{ key: 'gap', title: 'added', digits: 0, lessThe: 'direct' }]
  t.strictSame(tableOf(metrics, candidates, rounds).split('\n').slice(2), [
    '| the gateway | 4 (4 to 7) |',
    '| the proxy | 3 (2 to 4) |',
    '| the direct | - |'
  ])
})

t.test('one round has no range', async (t) => {
  const one: Rounds = new Map([['gateway', [{ cpu: 1.25 }]]])
  t.match(tableOf([{ key: 'cpu', title: 'CPU', digits: 1 }], candidates, one), '| the gateway | 1.3 |')
})
