import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { proves } from './behaviours.ts'
import { recorded } from './gateway.ts'
import { EMBED, withShops } from './shop.ts'

const { echo, research } = DEMO_IDS

t.setTimeout(300_000)

withShops(t, 'what visitors give to the widget', async (t, open) => {
  await proves(t, EMBED, 'starters', async (t) => {
    const { visit, standIn } = await open(t)
    const widget = await visit()
    await widget.page.getByText('Hello there', { exact: true }).click()
    await widget.isReady()
    t.match(standIn.predictions.at(-1)?.body, { question: 'Hello there' })
    t.same(widget.errors, [])
  })

  await proves(t, EMBED, 'images', async (t) => {
    const { visit, standIn, publish } = await open(t)
    publish(echo, {
      uploads: { isImageUploadAllowed: true, imgUploadSizeAndTypes: [{ fileTypes: ['image/gif'], maxUploadSize: 5 }] }
    })
    standIn.always({ body: DOT.toString(), headers: { 'content-type': '' } }, /^GET .*\/get-upload-file\?/)
    const widget = await visit()
    await widget.attach({ name: 'dot.gif', mimeType: 'image/gif', buffer: DOT })
    await widget.ask('What is it?')
    await widget.shows('What is it?')
    await widget.isReady()
    const { uploads, chatId } = Object(standIn.predictions.at(-1)?.body)
    t.match(uploads, [{ type: 'file', name: 'dot.gif', mime: 'image/gif' }])
    t.equal(uploads[0].data, `data:image/gif;base64,${DOT.toString('base64')}`)
    await widget.reload()
    const image = widget.questions.locator('img')
    // Rejects when what came is no image.
    await image.evaluate((element) => Reflect.apply(Reflect.get(element, 'decode'), element, []))
    t.ok(standIn.requests.some(({ url }) => url.includes(`/get-upload-file?`) && url.includes(`chatId=${chatId}`)))
    t.same(widget.errors, [])
    await widget.picture('images')
  })

  await proves(t, EMBED, 'documents', async (t) => {
    const { visit, standIn, publish } = await open(t)
    publish(echo, { fullFileUpload: { status: true, allowedUploadFileTypes: 'text/plain,application/pdf' } })
    const content = 'All clocks are on sale.'
    const stored = [{ name: 'notes.txt', mimeType: 'text/plain', size: content.length, content }]
    standIn.next({ body: JSON.stringify(stored) }, /^POST .*\/attachments\//)
    const widget = await visit()
    await widget.attach({ name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from(content) })
    await widget.ask('What is on sale?')
    await widget.shows('What is on sale?')
    await widget.isReady()
    const [attached] = standIn.requests.filter(({ url }) => url.includes('/attachments/'))
    const { chatId, uploads } = Object(standIn.predictions.at(-1)?.body)
    t.equal(attached?.url, `/api/v1/attachments/${echo}/${chatId}`)
    t.match(uploads, [{ type: 'file:full', name: 'notes.txt', data: content }])
    t.same(widget.errors, [])
    await widget.picture('documents')
  })

  await proves(t, EMBED, 'indexing', async (t) => {
    const { visit, publish } = await open(t)
    const fileUploadSizeAndTypes = [{ fileTypes: ['*'], maxUploadSize: 5 }]
    publish(echo, { uploads: { isRAGFileUploadAllowed: true, fileUploadSizeAndTypes } })
    const widget = await visit()
    await widget.ask('May I bring a book?')
    await widget.isReady()
    t.equal(await widget.page.locator('input[type="file"]').count(), 0)
    t.same(widget.errors, [])
  })

  await proves(t, EMBED, 'speech', async (t) => {
    const { visit, publish, standIn } = await open(t)
    publish(echo, { isTTSEnabled: true })
    const sound = Buffer.from('no real sound').toString('base64')
    const events = [
      ['tts_start', { format: 'mp3' }],
      ['tts_data', { audioChunk: sound }],
      ['tts_end', {}]
    ] as const
    const body = events.map(([event, data]) => `event: ${event}\ndata: ${JSON.stringify({ event, data })}\n\n`).join('')
    standIn.always({ body, headers: { 'content-type': 'text/event-stream' } }, /^POST .*\/text-to-speech\/generate/)
    const widget = await visit()
    await widget.ask('Read this to me')
    await widget.shows('Read this to me')
    await widget.isReady()
    const heard = widget.page.waitForResponse((response) => response.url().endsWith('/text-to-speech/generate'))
    await widget.button('Play audio').click()
    t.match(await (await heard).text(), sound)
    const asked = standIn.requests.find(({ url }) => url.endsWith('/text-to-speech/generate'))
    t.match(asked?.body, { chatflowId: echo, text: 'Read this to me' })
  })

  await proves(t, EMBED, 'rating', async (t) => {
    const { visit, publish, admin, request } = await open(t)
    publish(echo, { chatFeedback: { status: true } })
    const widget = await visit()
    await widget.ask('Is it any good?')
    await widget.shows('Is it any good?')
    await widget.button('Thumbs Down').click()
    await widget.page.getByPlaceholder('What do you think of the response?').fill('Too short')
    await widget.page.getByRole('button', { name: 'Submit Feedback' }).click()
    await widget.page.getByPlaceholder('What do you think of the response?').waitFor({ state: 'detached' })
    const list = await request('GET', `/api/v1/admin/chatflows/${echo}/feedback`, { token: admin.token })
    t.match(list.json(), { feedback: [{ rating: 'THUMBS_DOWN', content: 'Too short' }] })
    t.same(widget.errors, [])
    await widget.picture('rating')
  })

  await proves(t, EMBED, 'leads', async (t) => {
    const { visit, publish, standIn, admin, request } = await open(t)
    publish(echo, {
      leads: { status: true, title: 'Who are you?', name: true, email: true, successMessage: 'Thank you!' }
    })
    const widget = await visit()
    await widget.shows('Who are you?')
    t.ok(await widget.page.locator('textarea.text-input').isDisabled(), 'no chat before that')
    await widget.picture('leads')
    await widget.page.getByPlaceholder('Name').fill('Ada')
    await widget.page.getByPlaceholder('Email Address').fill('ada@example.com')
    await widget.page.locator('form button[type="submit"]').click()
    await widget.shows('Thank you!')
    await widget.ask('And now?')
    await widget.shows('And now?')
    await widget.isReady()
    t.match(standIn.predictions.at(-1)?.body, { leadEmail: 'ada@example.com' })
    const list = await request('GET', `/api/v1/admin/chatflows/${echo}/leads`, { token: admin.token })
    t.match(list.json(), { leads: [{ name: 'Ada', email: 'ada@example.com' }] })
    t.same(widget.errors, [])
  })

  await proves(t, EMBED, 'human', async (t) => {
    const { visit, standIn } = await open(t, { chatflowId: research })
    const widget = await visit()
    standIn.next({ events: recorded('74-human-1-stream') })
    await widget.ask('start')
    await widget.page.getByRole('button', { name: 'Proceed' }).click()
    await widget.picture('human')
    await widget.page.getByPlaceholder('Please provide your feedback...').fill('Go on')
    standIn.next({
      events: [
        ['agentFlowEvent', 'INPROGRESS'],
        ['token', 'approved'],
        ['agentFlowEvent', 'FINISHED'],
        ['metadata', {}]
      ]
    })
    await widget.page.getByRole('button', { name: 'Submit' }).click()
    await widget.shows('approved')
    await widget.isReady()
    const [first, second] = standIn.predictions.map(({ body }) => Object(body))
    t.match(second.humanInput, { type: 'proceed', startNodeId: 'humanInputAgentflow_0', feedback: 'Go on' })
    t.equal(second.overrideConfig.sessionId, first.overrideConfig.sessionId)
    t.same(widget.errors, [])
  })

  await proves(t, EMBED, 'form', async (t) => {
    const { visit, standIn, publish } = await open(t, { chatflowId: research })
    publish(research, { flowData: JSON.stringify(START_FORM) })
    const widget = await visit()
    await widget.page.getByText('Book a visit').waitFor()
    await widget.picture('form')
    await widget.page.locator('input[name="guest"]').fill('Ada')
    await widget.page.locator('select[name="day"]').selectOption('Monday')
    standIn.next({
      events: [
        ['agentFlowEvent', 'INPROGRESS'],
        ['token', 'Booked.'],
        ['metadata', {}]
      ]
    })
    await widget.page.getByRole('button', { name: 'Submit' }).click()
    await widget.shows('Booked.')
    const body = Object(standIn.predictions.at(-1)?.body)
    t.same(body.form, { guest: 'Ada', day: 'Monday' })
    t.notOk(body.question)
    t.notMatch(await widget.received(), 'secret system prompt')
    t.same(widget.errors, [])
  })

  await proves(t, EMBED, 'stop', async (t) => {
    const { visit, standIn, credits } = await open(t, { chatflowId: research })
    const widget = await visit()
    standIn.next({ events: recorded('71-abort-agentflow').slice(0, 10), end: 'open' })
    await widget.ask('SLOW')
    await widget.shows('w0')
    await widget.button('Stop').click()
    await standIn.waitFor(({ method, url }) => method === 'PUT' && url.includes('/chatmessage/abort/'))
    await widget.isReady()
    t.match(await widget.said(), /^w0 w1/, 'what was said stays')
    t.equal(await widget.button('Stop').count(), 0)
    t.equal(await credits(), 99)
    await widget.ask('Are you there?')
    await widget.shows('I looked into "Are you there?"')
    t.same(widget.errors, [])
    await widget.picture('stop')
  })
})

/** A whole GIF of one pixel, all of it ASCII. */
const DOT = Buffer.from('GIF89a\x01\0\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;', 'latin1')

/** A graph as Flowise has it: the start node, and what is nobody's business. */
const START_FORM = {
  nodes: [
    {
      id: 'startAgentflow_0',
      data: {
        name: 'startAgentflow',
        inputs: {
          startInputType: 'formInput',
          formTitle: 'Book a visit',
          formDescription: 'We call back.',
          formInputTypes: [
            { type: 'string', label: 'Guest', name: 'guest' },
            { type: 'options', label: 'Day', name: 'day', addOptions: [{ option: 'Monday' }, { option: 'Friday' }] }
          ]
        }
      }
    },
    { id: 'llm_0', data: { name: 'llmAgentflow', inputs: { systemMessage: 'a secret system prompt' } } }
  ],
  edges: []
}
