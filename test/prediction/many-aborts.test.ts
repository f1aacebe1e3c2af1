import { setTimeout as pause } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { createSystemClock, type Clock } from '../../src/clock.ts'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp } from '../helper.ts'
import { idle, open, settled, stored } from './tools.ts'

const ROUNDS = 10
const PER_ROUND = 100
/** What a round may leave behind per stream: rows' caches and such, but no stream, call or timer. */
const MAX_BYTES_PER_STREAM = 8192

/** The real clock, with a count of the timers that wait. */
function countingClock(): Clock & { pending: () => number } {
  const clock = createSystemClock()
  const waiting = new Set<symbol>()
  return {
    now: () => clock.now(),
    after(delayMs, run) {
      const timer = Symbol('timer')
      waiting.add(timer)
      const cancel = clock.after(delayMs, () => {
        waiting.delete(timer)
        run()
      })
      return () => {
        waiting.delete(timer)
        cancel()
      }
    },
    pending: () => waiting.size
  }
}

t.test('a thousand streams whose clients leave: nothing stays', async (t) => {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const clock = countingClock()
  const env = {
    DEFAULT_CREDITS: '100000',
    RATE_LIMIT_PER_MINUTE: '0',
    MAX_CONCURRENT_PER_USER: '1000',
    RESUME_SECONDS: '0'
  }
  const gateway = await buildTestApp(t, { env, clock })
  const { standIn, createUser, app } = gateway
  const user = await createUser({ grants: [DEMO_IDS.echo] })
  const url = await gateway.listen()
  const timersBefore = clock.pending()
  standIn.always({ events: [['token', 'a']], end: 'open' })

  async function round(): Promise<void> {
    const wires = Array.from({ length: PER_ROUND }, (_, n) => {
      const path = n % 2 === 0 ? '/api/v1/chat/predict/stream' : `/api/v1/prediction/${DEMO_IDS.echo}`
      const body = { chatflow_id: DEMO_IDS.echo, question: 'hi', streaming: true }
      return open(`${url}${path}`, { token: user.token, body })
    })
    await Promise.all(wires.map((wire) => wire.until(/"a"/)))
    for (const wire of wires) wire.leave()
    // A client's leaving takes its way through the sockets; the connection to Flowise is closed behind it.
    while (app.exchanges.size > 0 || standIn.predictions.some(({ isLeft }) => !isLeft)) {
      await idle(gateway)
      await pause(5)
    }
    // What the stand-in has noted down is not the gateway's.
    standIn.requests.splice(0, standIn.requests.length)
  }
  const heap = () => {
    collect()
    return process.memoryUsage().heapUsed
  }
  await round()
  const heapBefore = heap()
  for (let n = 1; n < ROUNDS; n++) await round()
  const total = ROUNDS * PER_ROUND
  t.equal((await stored(gateway).charges(user.id)).length, total)
  await settled(t, gateway, user.id)
  t.equal(app.exchanges.size, 0)
  const left = (heap() - heapBefore) / (total - PER_ROUND)
  t.ok(left < MAX_BYTES_PER_STREAM, `${Math.round(left)} bytes of heap per stream`)
  t.ok(clock.pending() <= timersBefore + 1, `${clock.pending()} timers, ${timersBefore} before`)
  const connections = await new Promise<number>((resolve) => {
    app.server.getConnections((_error, count) => resolve(count))
  })
  t.equal(connections, 0, 'no connection of a client')
})
