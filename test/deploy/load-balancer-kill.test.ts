import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { connect } from 'node:http2'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { startInstallation, withHaproxy } from './load-balancer.ts'

const ASK = { chatflow_id: DEMO_IDS.echo, question: 'hi' }

// Four processes are started first, on machines that may be busy.
t.setTimeout(300_000)

withHaproxy(t, 'a gateway that is killed', async (t, program) => {
  const { url, token, standIn, gateways, post, get, busy, becomes } = await startInstallation(t, program)
  const path = '/api/v1/chat/predict'

  /** Kills the gateway that the next prediction has come to. */
  async function killNext(): Promise<string> {
    const count = standIn.predictions.length
    standIn.next({ gates: { head: `held ${count}` } })
    while (standIn.predictions.length === count) await standIn.waitFor((seen) => seen === standIn.predictions[count])
    const { name, process } = await busy()
    process.child.kill('SIGKILL')
    return name
  }

  await t.test('on a connection that had a request before, where HAProxy would have the client repeat', async (t) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.teardown(() => agent.destroy())
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const ask = async (method: string, path: string, body = '') => {
      const asking = request(`${url}${path}`, { agent, method, headers }).end(body)
      const reply = await new Promise<IncomingMessage>((resolve, reject) => {
        asking.on('response', resolve).on('error', reject)
      })
      return { reply, body: await text(reply), isReused: asking.reusedSocket }
    }
    await ask('GET', '/health')
    const killing = killNext()
    const { reply, body, isReused } = await ask('POST', path, JSON.stringify(ASK))
    t.equal(isReused, true)
    t.equal(reply.statusCode, 502)
    t.match(reply.headers['content-type'], 'application/problem+json')
    const problem: { request_id: string } = JSON.parse(body)
    t.match(problem, { code: 'internal_error', status: 502, instance: path })
    t.equal(reply.headers['x-request-id'], problem.request_id)
    for (let count = 0; count < 30; count++) t.equal((await get('/api/v1/chat/credits')).status, 200, 'for it alone')
    await becomes(await killing, /^DOWN/)
  })

  await t.test('on HTTP/2, where a refused stream would mean that it never arrived', async (t) => {
    const session = connect(url)
    t.teardown(() => session.close())
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const ask = async (method: string, path: string, body?: string) => {
      const asking = session.request({ ...headers, ':method': method, ':path': path }).end(body)
      const [answered] = await once(asking, 'response')
      asking.resume()
      await once(asking, 'close')
      return answered[':status']
    }
    t.equal(await ask('GET', '/health'), 200)
    const killing = killNext()
    t.equal(await ask('POST', path, JSON.stringify(ASK)), 502)
    await becomes(await killing, /^DOWN/)
  })

  await t.test('nothing is sent twice', async (t) => {
    for (let count = 0; count < 6; count++) t.equal((await post(path, ASK)).status, 200)
    t.equal(standIn.predictions.length, 2 + 6)
  })

  await t.test('without any gateway the load balancer answers', async (t) => {
    for (const { process } of gateways.values()) {
      process.child.kill('SIGKILL')
      await process.exit
    }
    const reply = await get('/api/v1/chat/credits')
    t.equal(reply.status, 503)
    t.equal(reply.headers.get('retry-after'), '5')
    t.match(await reply.json(), { code: 'overloaded', instance: '/api/v1/chat/credits' })
  })
})
