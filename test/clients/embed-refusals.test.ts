import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { createFakeClock } from '../clock.ts'
import { proves } from './behaviours.ts'
import { EMBED, withShops } from './shop.ts'

const { echo, report } = DEMO_IDS

t.setTimeout(300_000)

/** A flow that streams and one that does not: the widget shows the refusals of each in its own way. */
const FLOWS = [echo, report]

withShops(t, 'what the widget shows when it is refused', async (t, open) => {
  await proves(t, EMBED, 'broke', async (t, sentence) => {
    for (const chatflowId of FLOWS) {
      const { visit } = await open(t, { chatflowId, credits: 0 })
      const widget = await visit()
      await widget.ask('May I?')
      await widget.shows(sentence)
      t.equal(await widget.said(), sentence)
      await widget.isReady()
      await widget.picture(`broke-${chatflowId === echo ? 'stream' : 'piece'}`)
    }
  })

  await proves(t, EMBED, 'expired', async (t, sentence) => {
    for (const chatflowId of FLOWS) {
      const clock = createFakeClock(Date.now())
      const { visit } = await open(t, { chatflowId, clock })
      const widget = await visit({ token: { expires_in: 60 } })
      await widget.ask('In time?')
      await widget.shows('In time?')
      await widget.isReady()
      clock.advance(61_000)
      await widget.ask('Too late?')
      await widget.shows(sentence)
      t.equal(await widget.said(), sentence)
      await widget.isReady()
      await widget.picture('expired')
    }
  })

  await proves(t, EMBED, 'foreign', async (t, sentence) => {
    const { visit, apiHost } = await open(t)
    const widget = await visit({ apiHost: `${(await apiHost(echo)).slice(0, -4)}AAAA` })
    await widget.ask('May I?')
    await widget.shows(sentence)
    t.equal(await widget.said(), sentence)
  })

  await proves(t, EMBED, 'revoked', async (t, sentence) => {
    const { visit, revokeKey } = await open(t)
    const widget = await visit()
    await widget.ask('Still there?')
    await widget.shows('Still there?')
    await widget.isReady()
    await revokeKey()
    await widget.ask('And now?')
    await widget.shows(sentence)
    t.equal(await widget.said(), sentence)
  })

  await proves(t, EMBED, 'forbidden', async (t, sentence) => {
    const { visit, apiHost } = await open(t)
    const widget = await visit({ apiHost: await apiHost(report) })
    await widget.ask('May I?')
    await widget.shows(sentence)
    t.equal(await widget.said(), sentence, 'the token is for another chatflow')
  })

  await proves(t, EMBED, 'limited', async (t, sentence) => {
    for (const chatflowId of FLOWS) {
      const { visit } = await open(t, { chatflowId, env: { RATE_LIMIT_PER_MINUTE: '1' } })
      const widget = await visit()
      await widget.ask('One?')
      await widget.shows('One?')
      await widget.isReady()
      await widget.ask('Two?')
      await widget.shows(sentence)
      t.equal(await widget.said(), sentence)
      await widget.isReady()
      await widget.picture('limited')
    }
  })
})
