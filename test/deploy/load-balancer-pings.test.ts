import t from 'tap'
import { textOf } from '../prediction/tools.ts'
import { startInstallation, withHaproxy } from './load-balancer.ts'

// Four processes are started first, on machines that may be busy.
t.setTimeout(300_000)

withHaproxy(t, 'pings keep a silent stream open beyond all timeouts', async (t, program) => {
  const env = { SSE_PING_SECONDS: '0.3' }
  const impatient = (config: string) => config.replace(/timeout (client|server) 3660s/g, 'timeout $1 1500ms')
  const { standIn, stream } = await startInstallation(t, program, env, impatient)
  standIn.next({
    events: [
      ['token', 'before '],
      ['token', 'after']
    ],
    gates: { 1: 'silence' }
  })
  const wire = stream()
  await wire.until(/(: ping\n){12}/)
  standIn.gate('silence').open()
  t.equal(textOf(await wire.ended), 'before after')
})
