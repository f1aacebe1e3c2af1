import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { eventsOf, textOf } from '../prediction/tools.ts'
import { startInstallation, withHaproxy } from './load-balancer.ts'

const { echo } = DEMO_IDS

// Four processes are started first, on machines that may be busy.
t.setTimeout(300_000)

withHaproxy(t, 'the shipped load balancer and a stream', async (t, program) => {
  const { url, token, standIn, stream, get, post, busy } = await startInstallation(t, program, { RESUME_SECONDS: '0' })

  await t.test('each token arrives before the next one exists', async (t) => {
    const words = ['one ', 'two ', 'three ', 'four ', 'five ', 'six ', 'seven ', 'eight']
    const gates = Object.fromEntries(words.map((word, index) => [index, word]))
    standIn.next({ events: words.map((word) => ['token', word] as const), gates })
    const wire = stream()
    const delaysMs: number[] = []
    for (const word of words) {
      t.notMatch(wire.text(), word, `${word.trim()} has not been said`)
      const saidAt = performance.now()
      standIn.gate(word).open()
      await wire.until(new RegExp(word))
      delaysMs.push(performance.now() - saidAt)
    }
    // What waits for more to come waits 200 ms, every time but the last; a busy machine is not that steady.
    const fastestMs = Math.min(...delaysMs.slice(0, -1))
    t.ok(fastestMs < 150, `within ${Math.round(fastestMs)} ms`)
    const text = await wire.ended
    t.match((await wire.head).headers, { 'content-type': /^text\/event-stream/, 'cache-control': /no-transform/ })
    t.equal(textOf(text), words.join(''))
    t.equal(eventsOf(text).at(-1)?.event, 'end')
  })

  await t.test('a client that leaves a silent stream is known at its gateway at once', async (t) => {
    standIn.next({
      events: [
        ['token', 'half'],
        ['token', 'never']
      ],
      gates: { 1: 'left' }
    })
    const wire = stream()
    await wire.until(/half/)
    const before = performance.now()
    wire.leave()
    await standIn.waitFor(({ isLeft }) => isLeft)
    await standIn.waitFor(({ method, url }) => method === 'PUT' && url.includes('/abort/'))
    const seconds = (performance.now() - before) / 1000
    // The next ping, which would also tell, comes after 15 seconds.
    t.ok(seconds < 10, `after ${seconds.toFixed(2)} s`)
    standIn.gate('left').open()
  })

  await t.test('so is one that leaves before the answer begins', async (t) => {
    standIn.next({ gates: { head: 'unborn' } })
    const count = standIn.aborts.length
    const wire = stream()
    while (standIn.predictions.length < 3) await standIn.waitFor((seen) => seen === standIn.predictions[2])
    t.ok((await busy()).name)
    wire.leave()
    while (standIn.aborts.length === count) await standIn.waitFor((seen) => seen === standIn.aborts[count])
    t.equal(standIn.aborts.length, count + 1)
    standIn.gate('unborn').open()
  })

  await t.test('a body of nearly MAX_BODY_MB passes', async (t) => {
    const form = new FormData()
    form.set('question', 'what is it?')
    for (const name of ['a.txt', 'b.txt'])
      form.append('files', new Blob(['x'.repeat(9_000_000)], { type: 'text/plain' }), name)
    standIn.next({ answer: { text: 'two files' } })
    const headers = { authorization: `Bearer ${token}` }
    const reply = await fetch(`${url}/api/v1/prediction/${echo}`, { method: 'POST', headers, body: form })
    t.equal(reply.status, 200)
    t.match(await reply.json(), { text: 'two files' })
    t.ok(String(standIn.predictions.at(-1)?.body).length > 18_000_000)
  })

  await t.test('without Flowise no gateway is ready, and all still answer', async (t) => {
    await standIn.close()
    while ((await get('/ready')).status !== 503);
    t.equal((await get('/api/v1/chat/credits')).status, 200)
    const reply = await post('/api/v1/chat/predict', { chatflow_id: echo, question: 'hi' })
    t.equal(reply.status, 503)
    t.match(await reply.json(), { code: 'upstream_unavailable' })
  })
})
