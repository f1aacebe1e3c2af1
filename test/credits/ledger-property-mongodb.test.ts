import t from 'tap'
import { collections } from '../../src/store/collections.ts'
import { withMongo } from '../servers/mongodb.ts'
import { play } from './hostile-play.ts'
import { requireProperty } from './hostile-property.ts'
import { openWireStage } from './wire-stage.ts'

const specs = collections.filter(({ name }) => ['accounts', 'ledger_entries', 'requests'].includes(name))
const RUNS = process.env['LEDGER_RUNS_MONGODB']
const LIMIT_MS = 75_000

t.setTimeout(0)

void withMongo(t, 'whatever the wire loses, delays or cuts, the books stay in order', async (t, mongo) => {
  const stage = await openWireStage(t, mongo, specs)
  await requireProperty(t, {
    size: { errands: 5, steps: 150 },
    runs: Number(RUNS ?? 600),
    limitMs: RUNS === undefined ? LIMIT_MS : 86_400_000,
    async play(scenario) {
      try {
        return await play(scenario, await stage.next())
      } catch (error) {
        await stage.renew()
        throw error
      }
    }
  })
})
