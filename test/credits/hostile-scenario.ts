import * as fc from 'fast-check'
import { LARGEST_STEP } from './hostile-schedule.ts'

/** What one actor of a schedule wants; two with the same key are a client that asks twice. `drop` ends the budget. */
export type Errand = { process: number } & (
  | { kind: 'grant'; key: keyof Scenario['grants'] }
  | { kind: 'set'; targetMicro: number }
  | { kind: 'open' }
  | { kind: 'drop' }
  | { kind: 'sweep'; times: number }
  | { kind: 'relay'; times: number }
  | RunErrand
)

/** A prediction of a client with an idempotency key. */
export interface RunErrand {
  kind: 'run'
  key: string
  costMicro: number
  holdMicro: number
  /** Used between two looks at the hold. */
  strideMicro: number
  /** It sends a heartbeat at each look. */
  hasHeart: boolean
  /** `forgotten`: nobody ends the hold but the sweeper. */
  ending: 'settle' | 'settle twice' | 'void' | 'forgotten'
}

export interface Scenario {
  openingMicro: number
  /** The opening amount is there from the start, and not granted on the way. */
  isOpened: boolean
  budgetMicro: number
  grants: { g1: number; g2: number }
  errands: Errand[]
  /** Times each of the two processes sweeps and relays. */
  rounds: number
  tape: number[]
}

export interface ScenarioSize {
  errands: number
  steps: number
}

/** Every scenario up to this size; a failing one shrinks to the fewest errands and the calmest tape that still fail. */
export function scenarios({ errands, steps }: ScenarioSize): fc.Arbitrary<Scenario> {
  const process = fc.nat(1)
  const micro = (min: number, max: number) => fc.integer({ min, max })
  const run: fc.Arbitrary<Errand> = fc.record({
    kind: fc.constant('run' as const),
    process,
    key: fc.constantFrom('r1', 'r2', 'r3', 'r4', 'r5', 'r6'),
    costMicro: micro(1, 25),
    holdMicro: micro(5, 20),
    strideMicro: micro(2, 9),
    hasHeart: fc.boolean(),
    ending: fc.constantFrom('settle', 'settle', 'settle twice', 'void', 'forgotten')
  })
  const errand = fc.oneof(
    { weight: 5, arbitrary: run },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('grant' as const), process, key: fc.constantFrom('g1', 'g2') })
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('set' as const), process, targetMicro: fc.nat(60) })
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('open' as const), process }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('drop' as const), process }) }
  )
  return fc.record({
    openingMicro: fc.nat(120),
    isOpened: fc.boolean(),
    budgetMicro: micro(20, 120),
    grants: fc.record({ g1: micro(20, 70), g2: micro(1, 40) }),
    errands: fc.noBias(fc.array(errand, { minLength: 1, maxLength: errands, size: 'max' })),
    rounds: micro(1, 3),
    tape: fc.noBias(fc.array(fc.nat(LARGEST_STEP), { maxLength: steps, size: 'max' }))
  })
}
