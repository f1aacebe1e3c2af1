import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { proves } from './behaviours.ts'
import { recorded } from './gateway.ts'
import { EMBED, withShops } from './shop.ts'

const { echo, report, research } = DEMO_IDS

t.setTimeout(300_000)

/** A flow that streams and one that does not: the widget shows the failures of each in its own way. */
const FLOWS = [echo, report]

withShops(t, 'what the widget shows when Flowise fails', async (t, open) => {
  await proves(t, EMBED, 'down', async (t, sentence) => {
    for (const chatflowId of FLOWS) {
      const { visit, standIn, credits } = await open(t, { chatflowId })
      const widget = await visit()
      await widget.ask('Up?')
      await widget.shows('Up?')
      await widget.isReady()
      await standIn.close()
      await widget.ask('Down?')
      await widget.shows(sentence)
      t.equal(await widget.said(), sentence)
      await widget.isReady()
      t.equal(await credits(), 99)
      await widget.picture('down')
    }
  })

  await proves(t, EMBED, 'failed', async (t, sentence) => {
    const { visit, standIn } = await open(t, { chatflowId: research })
    const widget = await visit()
    standIn.next({ events: recorded('79-agentflow-llm-401-stream') })
    await widget.ask('FAIL401')
    await widget.shows(sentence)
    t.equal(await widget.said(), sentence)
    await widget.isReady()
    standIn.next({ events: recorded('21-llm-midstream-drop') })
    await widget.ask('MIDFAIL')
    await widget.shows('Echo:')
    await widget.shows(sentence)
    t.notMatch(await widget.received(), /sk-fake|terminated|buildChatflow/)
    await widget.picture('failed')
  })

  await proves(t, EMBED, 'discreet', async (t) => {
    const { visit, standIn, user, apiKey, config } = await open(t, { chatflowId: research })
    const widget = await visit({ chatWindow: { showAgentMessages: true } })
    for (const events of [recorded('06-stream-agentflow-llm'), recorded('79-agentflow-llm-401-stream'), undefined]) {
      if (events) standIn.next({ events })
      await widget.ask('What is inside?')
      await widget.isReady()
    }
    const wire = await widget.received()
    t.match(wire, 'Echo: ')
    const upstream = standIn.predictions.map(({ body }) => Object(body).chatId)
    const secrets = [
      'sk-fake',
      '127.0.0.1:3997',
      'demo-model-key',
      'model.internal',
      'secret system prompt',
      'llmModel'
    ]
    const owner = [user.id, user.username, user.email, apiKey, config.flowise.url ?? '', 'flowise-test-key']
    for (const secret of [...secrets, ...owner, ...upstream]) t.notMatch(wire, secret)
    t.same(widget.errors, [])
  })
})
