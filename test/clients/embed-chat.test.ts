import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { proves } from './behaviours.ts'
import { recorded } from './gateway.ts'
import { EMBED, withShops } from './shop.ts'

const { report, research } = DEMO_IDS

t.setTimeout(300_000)

withShops(t, 'conversations in the widget', async (t, open) => {
  await proves(t, EMBED, 'streams', async (t) => {
    const { visit, standIn, credits } = await open(t)
    const widget = await visit()
    await widget.shows('Welcome to our shop.')
    const events = [
      ['start', ''],
      ['token', 'First '],
      ['token', 'then '],
      ['token', 'last.'],
      ['metadata', { chatMessageId: 'stored-1' }]
    ] as const
    standIn.next({ events, gates: { 2: 'then', 3: 'last', end: 'end' } })
    await widget.ask('In which order?')
    await widget.shows('First')
    t.equal(await widget.said(), 'First')
    standIn.gate('then').open()
    await widget.shows('First then')
    t.equal(await widget.said(), 'First then')
    standIn.gate('last').open()
    await widget.shows('First then last.')
    standIn.gate('end').open()
    await widget.isReady()
    t.same(await widget.questions.allInnerTexts(), ['In which order?'])
    t.equal(await widget.answers.count(), 2)
    t.equal(await credits(), 99)
    t.same(widget.errors, [])
    await widget.picture('streams')
  })

  await proves(t, EMBED, 'answers', async (t) => {
    const { visit } = await open(t, { chatflowId: report })
    const widget = await visit()
    await widget.ask('May')
    await widget.shows('Report on "May": everything is as it should be.')
    await widget.isReady()
    t.same(widget.errors, [])
  })

  await proves(t, EMBED, 'unstreamable', async (t) => {
    const { visit, standIn } = await open(t, { chatflowId: report })
    const widget = await visit()
    await widget.ask('June')
    await widget.shows('Report on "June"')
    t.match(standIn.predictions.at(-1)?.body, { streaming: false })
    t.equal(await widget.answers.count(), 2)
  })

  await proves(t, EMBED, 'agents', async (t) => {
    const { visit, standIn } = await open(t, { chatflowId: research })
    const widget = await visit({ chatWindow: { showAgentMessages: true } })
    standIn.next({ events: recorded('06-stream-agentflow-llm'), gates: { 6: 'tokens' } })
    await widget.ask('one two three')
    await standIn.gate('tokens').reached
    await widget.button('Stop').waitFor()
    standIn.gate('tokens').open()
    await widget.shows('Echo: one two three')
    await widget.isReady()
    t.equal(await widget.answers.count(), 2)
    // What the flow went through can be opened, although nothing of its inside has come.
    await widget.page.getByText('Traces', { exact: true }).click()
    await widget.page.getByRole('heading', { name: 'Traces' }).waitFor()
    await widget.page.getByText('LLM 0', { exact: true }).first().click()
    await widget.picture('agents')
    t.same(widget.errors, [])
  })

  await proves(t, EMBED, 'unicode', async (t) => {
    const { visit, standIn } = await open(t)
    const widget = await visit()
    const question = 'Grüße, 你好, שלום, 👩‍👩‍👧‍👦 & "quotes"'
    await widget.ask(question)
    await widget.shows(question)
    t.match(standIn.predictions.at(-1)?.body, { question })
    t.same(await widget.questions.allInnerTexts(), [question])
  })

  await proves(t, EMBED, 'markdown', async (t) => {
    const { visit, standIn } = await open(t)
    const widget = await visit()
    const text = 'A **bold** word\n\n- one\n- two\n\n```js\nrun()\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n'
    standIn.next({
      events: [['start', ''], ...text.split('').map((sign) => ['token', sign] as const), ['metadata', {}]]
    })
    await widget.ask('Format it')
    const answer = widget.answers.last()
    await answer.locator('td', { hasText: '2' }).waitFor()
    t.equal(await answer.locator('strong').innerText(), 'bold')
    t.same(await answer.locator('li').allInnerTexts(), ['one', 'two'])
    t.match(await answer.locator('pre code').innerText(), 'run()')
    await widget.picture('markdown')
  })

  await proves(t, EMBED, 'bubble', async (t) => {
    const { visit } = await open(t)
    const widget = await visit({ form: 'bubble' })
    await widget.ask('Is anybody there?')
    await widget.shows('Is anybody there?')
    await widget.isReady()
    t.same(widget.errors, [])
    await widget.picture('bubble')
  })
})
