import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { proves } from './behaviours.ts'
import { EMBED, withShops } from './shop.ts'
import type { Widget } from './widget.ts'

const { echo } = DEMO_IDS
const EXAMPLE = join(import.meta.dirname, '../../docs/examples/widget.html')

t.setTimeout(300_000)

withShops(t, 'visitors of the widget', async (t, open) => {
  await proves(t, EMBED, 'turns', async (t) => {
    const { visit, standIn } = await open(t)
    const widget = await visit()
    for (const question of ['My name is Ada', 'I sell clocks']) {
      await widget.ask(question)
      await widget.shows(question)
      await widget.isReady()
    }
    await widget.ask('What did I say before?')
    await widget.shows('Before that you said: I sell clocks')
    await widget.isReady()
    const sessions = standIn.predictions.map(({ body }) => Object(body).overrideConfig.sessionId)
    t.equal(sessions.length, 3)
    t.equal(new Set(sessions).size, 1)
    t.same(widget.errors, [])
  })

  await proves(t, EMBED, 'reload', async (t) => {
    const { visit } = await open(t)
    const widget = await visit()
    await widget.ask('My name is Ada')
    await widget.shows('My name is Ada')
    await widget.isReady()
    await widget.reload()
    await widget.shows('My name is Ada')
    await widget.ask('What did I say before?')
    await widget.shows('Before that you said: My name is Ada')
    t.same(widget.errors, [])
    await widget.picture('reload')
  })

  await proves(t, EMBED, 'strangers', async (t) => {
    const { visit, standIn } = await open(t)
    const ada = await visit({ token: { visitor_id: 'ada' } })
    const bob = await visit({ token: { visitor_id: 'bob' } })
    await ada.ask('My name is Ada')
    await ada.shows('My name is Ada')
    await ada.isReady()
    // Whoever knows the id of a chat, and says it is theirs, still gets nothing of it.
    await bob.page.evaluate(([name, chat]) => Reflect.get(globalThis, 'localStorage').setItem(name, chat), [
      `${echo}_EXTERNAL`,
      JSON.stringify({ chatId: (await chatOf(ada)).chatId })
    ] as const)
    await bob.reload()
    await bob.ask('What did I say before?')
    await bob.shows('You have not said anything before.')
    t.notMatch(await bob.received(), 'Ada')
    t.equal((await chatOf(bob)).chatId, (await chatOf(ada)).chatId)
    const [first, second] = standIn.predictions.map(({ body }) => Object(body).overrideConfig.sessionId)
    t.not(first, second)
  })

  await proves(t, EMBED, 'elsewhere', async (t) => {
    const { visit, standIn, credits, pages } = await open(t)
    const elsewhere = await visit({ token: { origins: ['https://another.example.com'] } })
    await elsewhere.ask('Am I welcome?')
    await elsewhere.isReady()
    t.strictSame(standIn.predictions, [])
    t.equal(await elsewhere.received(), '', 'the browser gives it nothing')
    const here = await visit({ token: { origins: ['https://another.example.com', pages.origin] } })
    await here.ask('And here?')
    await here.shows('And here?')
    await here.isReady()
    t.equal(await credits(), 99)
  })

  await proves(t, EMBED, 'example', async (t) => {
    const { visit, apiHost, pages } = await open(t)
    const example = readFileSync(EXAMPLE, 'utf8')
    const [cdn = ''] = /https:\/\/cdn\S+web\.js/.exec(example) ?? []
    t.match(cdn, /flowise-embed@/)
    pages.serve('/shop', 'text/html', example.replace(cdn, '/web.js'))
    pages.serve(
      '/embed-token',
      'application/json',
      JSON.stringify({ api_host: await apiHost(echo), chatflow_id: echo })
    )
    const widget = await visit({ address: `${pages.origin}/shop`, form: 'bubble' })
    await widget.shows('Welcome to our shop.')
    await widget.ask('Are you open?')
    await widget.shows('Are you open?')
    t.same(widget.errors, [])
  })

  await proves(t, EMBED, 'customers', async (t) => {
    const { visit, standIn } = await open(t)
    const widget = await visit({ chatflowConfig: { vars: { customerId: 'customer/7 & co' } } })
    for (const question of ['My name is Ada', 'What did I say before?']) {
      await widget.ask(question)
      await widget.isReady()
    }
    await widget.shows('Before that you said: My name is Ada')
    t.match((await chatOf(widget)).chatId, /^customer\/7 & co\+[0-9a-f-]{36}$/)
    t.notMatch(JSON.stringify(standIn.predictions.map(({ body }) => Object(body).chatId)), 'customer')
  })
})

/** What the widget keeps of its conversation. */
async function chatOf({ page }: Widget): Promise<{ chatId: string }> {
  const text = await page.evaluate((name) => Reflect.get(globalThis, 'localStorage').getItem(name), `${echo}_EXTERNAL`)
  return JSON.parse(text ?? '{}')
}
