import t from 'tap'
import { environment, startProcess } from '../server/gateway-process.ts'
import { takeTour } from './tour.ts'

const password = 'the tour password'

t.test('a gateway fresh from the shelf is walked through, as a user and as an administrator', async (t) => {
  const gateway = startProcess(t, environment(t, { ADMIN_PASSWORD: password }))
  await takeTour(t, { url: await gateway.listening, username: 'admin', password })
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.exit, 0)
})
