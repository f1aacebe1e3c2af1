import { writeSync } from 'node:fs'
import { createSystemClock } from '../../src/clock.ts'
import { connectMongo } from '../../src/store/mongo/connect.ts'
import { createSqliteStore } from '../../src/store/sqlite/store.ts'
import { migrate } from '../../src/store/versions.ts'
import { secondForm, secondSpecs } from './forms.ts'

// Child process of the kill test: brings `things` into its second form and stands still in the middle of it. Its parent has the
// file open too, which no second gateway may: the log of one is read by nobody else.
const [url = '', database = ''] = process.argv.slice(2)
const clock = createSystemClock()
const store = database
  ? (await connectMongo({ url, database }, { specs: secondSpecs, clock })).store
  : createSqliteStore({ path: url, specs: secondSpecs, few: Infinity })
let changed = 0

await migrate(store, {
  specs: secondSpecs,
  clock,
  owner: 'the one that is killed',
  migrations: [
    {
      ...secondForm,
      change(row) {
        if (changed++ === Number(process.argv[4])) {
          writeSync(1, 'in the middle\n')
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
        }
        return secondForm.change(row)
      }
    }
  ]
})
