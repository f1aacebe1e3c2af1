import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { proves } from './behaviours.ts'
import { recorded, startGateway } from './gateway.ts'
import { asked, SDK, streamed } from './sdk.ts'

const { echo, report } = DEMO_IDS

type Target = Parameters<typeof asked>[0]

/** What the client makes of a refusal: the sentence in its result, and the same as an event of a stream. */
async function tells(t: Test, target: Target, sentence: string, chatflowId?: string): Promise<void> {
  const what = chatflowId === undefined ? {} : { chatflowId }
  t.match(await asked(target, what), { message: sentence, error: sentence, success: false })
  t.strictSame(await streamed(target, what), [
    { event: 'error', data: sentence },
    { event: 'end', data: '[DONE]' }
  ])
}

/** As `tells`, where a stream is refused with a status, of which this client tells nothing more. */
async function throws(t: Test, target: Target, sentence: string, status: number): Promise<void> {
  t.match(await asked(target), { message: sentence, error: sentence, success: false })
  await t.rejects(streamed(target), { message: `HTTP error! status: ${status}` })
}

proves(t, SDK, 'broke', async (t, sentence) => {
  await tells(t, await startGateway(t, { credits: 0 }), sentence)
})

proves(t, SDK, 'foreign', async (t, sentence) => {
  const { url, apiKey } = await startGateway(t)
  await throws(t, { url, apiKey: `${apiKey.slice(0, -4)}AAAA` }, sentence, 401)
})

proves(t, SDK, 'revoked', async (t, sentence) => {
  const gateway = await startGateway(t)
  t.match(await asked(gateway), { text: 'hi' })
  await gateway.revokeKey()
  await throws(t, gateway, sentence, 401)
})

proves(t, SDK, 'forbidden', async (t, sentence) => {
  const { url, createKey } = await startGateway(t)
  const apiKey = await createKey({ chatflow_ids: [report] })
  await throws(t, { url, apiKey }, sentence, 403)
})

proves(t, SDK, 'unknown', async (t, sentence) => {
  const gateway = await startGateway(t)
  await tells(t, gateway, sentence, '3f0c1b52-8f6b-4f39-9c53-7f5b7b0c1d11')
  t.strictSame(gateway.standIn.predictions, [])
})

proves(t, SDK, 'limited', async (t, sentence) => {
  const { url, createKey } = await startGateway(t)
  const apiKey = await createKey({ requests_per_minute: 1 })
  t.match(await asked({ url, apiKey }), { text: 'hi' })
  await throws(t, { url, apiKey }, sentence, 429)
})

proves(t, SDK, 'down', async (t, sentence) => {
  const gateway = await startGateway(t)
  t.match(await asked(gateway), { text: 'hi' })
  await gateway.standIn.close()
  await tells(t, gateway, sentence, echo)
  t.equal(await gateway.credits(), 99)
})

proves(t, SDK, 'failed', async (t, sentence) => {
  const gateway = await startGateway(t)
  gateway.standIn.next({ events: recorded('21-llm-midstream-drop') })
  const events = await streamed(gateway)
  t.strictSame(
    events.map(({ event }) => event),
    ['start', 'token', 'error', 'end']
  )
  t.equal(events.at(-2)?.data, sentence)
})
