import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { eventsOf, textOf } from '../prediction/tools.ts'
import { type Installation, startInstallation, withHaproxy } from './load-balancer.ts'

const ASK = { chatflow_id: DEMO_IDS.echo, question: 'hi' }
const HALF = {
  events: [
    ['token', 'half'],
    ['token', ' rest']
  ],
  gates: { 1: 'middle' }
} as const

// Four processes are started first, on machines that may be busy.
t.setTimeout(300_000)

withHaproxy(t, 'a gateway that is told to end', async (t, program) => {
  const installation = await startInstallation(t, program)
  const { standIn, stream, get, post, busy, becomes, server, administer } = installation

  await t.test('with notice: no request fails, and its stream ends as always', async (t) => {
    standIn.next(HALF)
    const wire = stream()
    await wire.until(/half/)
    const { name, process, restart } = await busy()
    const traffic = startTraffic(installation)
    await administer(`set server ready/${name} state drain`)
    await becomes(name, /^DRAIN/)
    process.child.kill('SIGTERM')
    await process.printed('shutdown begins')
    while (traffic.replies.length < 20) await traffic.another()
    standIn.gate('middle').open()
    t.equal(textOf(await wire.ended), 'half rest')
    t.equal(eventsOf(wire.text()).at(-1)?.event, 'end')
    t.equal(await process.exit, 0)
    await restart()
    await administer(`set server ready/${name} state ready`)
    await becomes(name, /^UP/)
    await traffic.stop()
    t.same(new Set(traffic.replies), new Set(['200']), `${traffic.replies.length} predictions`)
  })

  await t.test('without notice: only new predictions, for a moment, are told to come again', async (t) => {
    const before = standIn.predictions.length
    standIn.next({ ...HALF, gates: { 1: 'later' } })
    const wire = stream()
    await wire.until(/half/)
    const { name, process, restart } = await busy()
    const traffic = startTraffic(installation)
    process.child.kill('SIGTERM')
    while ((await server(name)).status.startsWith('UP')) t.equal((await get('/api/v1/chat/credits')).status, 200)
    await traffic.stop()
    for (const reply of traffic.replies) t.match(reply, /^(200|503 draining)$/)
    for (let count = 0; count < 9; count++) t.equal((await post('/api/v1/chat/predict', ASK)).status, 200)
    const answered = traffic.replies.filter((reply) => reply === '200').length
    t.equal(standIn.predictions.length - before, 1 + answered + 9, 'nothing was sent twice')
    standIn.gate('later').open()
    t.equal(textOf(await wire.ended), 'half rest')
    t.equal(await process.exit, 0)
    await restart()
    await becomes(name, /^UP/)
  })
})

/** Predictions, one after the other in four rows, until it is stopped. */
function startTraffic({ post }: Pick<Installation, 'post'>) {
  const replies: string[] = []
  const over = new AbortController()
  let next = Promise.withResolvers<void>()
  const row = async () => {
    while (!over.signal.aborted) {
      const reply = await post('/api/v1/chat/predict', ASK)
      const { code }: { code?: string } = JSON.parse(await reply.text())
      replies.push(code === undefined ? String(reply.status) : `${reply.status} ${code}`)
      next.resolve()
      next = Promise.withResolvers()
    }
  }
  const rows = [row(), row(), row(), row()]
  return {
    replies,
    another: () => Promise.race([next.promise, ...rows]),
    async stop() {
      over.abort()
      await Promise.all(rows)
    }
  }
}
