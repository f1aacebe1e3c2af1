import t from 'tap'
import type { Rounds } from '../../bench/comparison.ts'
import { type Goal, goalTable } from '../../bench/goals.ts'

const rounds: Rounds = new Map([
  [
    'gateway',
    [
      { cpu: 18, gap: 9, lost: 0 },
      { cpu: 9, gap: 8, lost: 0 },
      { cpu: 80, gap: 7, lost: 2 }
    ]
  ],
  [
    'proxy',
    [
      { cpu: 20, gap: 5 },
      { cpu: 10, gap: 4 },
      { cpu: 10, gap: 3 }
    ]
  ],
  ['direct', [{ gap: 1 }, { gap: 2 }, { gap: 3 }]]
])

function rowOf(goal: Omit<Goal, 'what' | 'of' | 'digits'> & Partial<Goal>): string | undefined {
  const goals = [{ what: 'it', of: 'gateway', digits: 1, ...goal }]
  return goalTable([{ goals, rounds }]).split('\n')[2]
}

t.test('a value is judged by the median of the rounds', async (t) => {
  t.equal(rowOf({ metric: 'cpu', atMost: 20, unit: ' ms' }), '| it | ≤ 20.0 ms | 18.0 (9.0 to 80.0) ms | reached |')
  t.match(rowOf({ metric: 'cpu', atMost: 10 }), '| missed: 80 % too much |')
  t.match(rowOf({ metric: 'cpu', atLeast: 20 }), '| ≥ 20.0 | 18.0 (9.0 to 80.0) | missed: 10 % too little |')
  t.match(rowOf({ metric: 'cpu', atLeast: 10, atMost: 20 }), '| ≥ 10.0, ≤ 20.0 | 18.0 (9.0 to 80.0) | reached |')
})

t.test('a share is that of the same round', async (t) => {
  t.equal(rowOf({ metric: 'cpu', to: 'proxy', atMost: 0.9 }), '| it | × ≤ 0.9 | × 0.9 (0.9 to 8.0) | reached |')
  t.match(rowOf({ metric: 'gap', less: 'direct', atMost: 5 }), '| 6.0 (4.0 to 8.0) | missed: 20 % too much |')
})

t.test('what is added is compared over all rounds, as a single one may add nothing', async (t) => {
  t.match(rowOf({ metric: 'gap', less: 'direct', to: 'proxy', atMost: 2 }), '| × 3.0 | missed: 50 % too much |')
  t.match(rowOf({ metric: 'gap', less: 'proxy', to: 'direct', atMost: 2 }), '| - | not measured |')
})

t.test('where one is too many, the worst round counts', async (t) => {
  t.match(rowOf({ metric: 'lost', atMost: 0, isWorst: true }), '| 0.0 (0.0 to 2.0) | missed |')
  t.match(rowOf({ metric: 'lost', atMost: 0 }), '| reached |')
})

t.test('what was not measured has not been reached', async (t) => {
  t.match(rowOf({ metric: 'cpu', of: 'nobody', atMost: 1 }), '| - | not measured |')
  t.match(rowOf({ metric: 'cpu', of: 'direct', to: 'proxy', atMost: 1 }), '| - | not measured |')
})
