import { parseArgs } from 'node:util'
import t from 'tap'
import { environment, startProcess } from '../server/gateway-process.ts'
import { takeTour } from './tour.ts'

// `npm run tour`: a gateway with the demo Flowise is started, walked through and stopped. Or one that runs already:
// `npm run tour -- --url https://chat.example.com --username admin --password ...`; it gets a user more for the time of the
// tour, whose predictions its Flowise answers.

const { values } = parseArgs({
  options: {
    url: { type: 'string' },
    username: { type: 'string', default: 'admin' },
    password: { type: 'string', default: 'the tour password' }
  }
})
const { username, password } = values

t.test('the tour', async (t) => {
  const url = values.url ?? (await startProcess(t, environment(t, { ADMIN_PASSWORD: password })).listening)
  await takeTour(t, { url: url.replace(/\/$/, ''), username, password })
})
