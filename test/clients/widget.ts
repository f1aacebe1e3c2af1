import { join } from 'node:path'
import type { Browser, BrowserContext, Locator, Page, Response } from 'playwright-core'
import type { Test } from 'tap'
import type { Pages } from './pages.ts'

/** Shorter than a test may take, so that what did not appear is named. */
const WAIT_MS = 20_000

export interface WidgetOptions {
  browser: Browser
  pages: Pages
  apiHost: string
  chatflowId: string
  /** A page of one's own instead of the usual one. */
  address?: string
  /** The whole page, or a bubble that opens on a click; default: the whole page. */
  form?: 'full' | 'bubble'
  /** Members of `theme.chatWindow`. */
  chatWindow?: Record<string, unknown>
  chatflowConfig?: Record<string, unknown>
}

/** A visitor with a browser context of their own, who sees the widget on a customer's page. */
export interface Widget {
  readonly page: Page
  readonly context: BrowserContext
  /** What the bot has said: greeting, answers, errors. */
  readonly answers: Locator
  /** What the visitor has said. */
  readonly questions: Locator
  /** Sends a question, by typing it. */
  ask(question: string): Promise<void>
  /** Chooses a file, which goes with the next question. */
  attach(file: { name: string; mimeType: string; buffer: Buffer }): Promise<void>
  /** Resolves when an answer with this text in it is to be seen. */
  shows(text: string): Promise<void>
  /** The last answer as it stands. */
  said(): Promise<string>
  /** Resolves when nothing is being answered and the next question can be typed. */
  isReady(): Promise<void>
  button(title: string): Locator
  reload(): Promise<void>
  /** Heads and bodies of all that came from the gateway so far; streams only when they have ended. */
  received(): Promise<string>
  /** What the console holds against the page; messages of the browser about a status are no errors of the widget. */
  readonly errors: string[]
  /** Writes a picture into CLIENT_PICTURES, where that is set. */
  picture(name: string): Promise<void>
}

/** Opens a customer's page with the widget in a fresh browser context, as a new visitor would. */
export async function openWidget(t: Test, options: WidgetOptions): Promise<Widget> {
  const { browser, pages, form = 'full' } = options
  const context = await browser.newContext({ viewport: { width: 900, height: 720 } })
  t.teardown(() => context.close())
  context.setDefaultTimeout(WAIT_MS)
  const page = await context.newPage()
  const errors: string[] = []
  const responses: Response[] = []
  page.on('pageerror', (error) => errors.push(`uncaught ${String(error)}`))
  page.on('console', (message) => {
    const text = message.text()
    if (message.type() === 'error' && !text.startsWith('Failed to load resource')) errors.push(text)
  })
  page.on('response', (response) => {
    if (!response.url().startsWith(pages.origin)) responses.push(response)
  })
  const answers = page.locator('.chatbot-host-bubble')
  const questions = page.locator('.chatbot-guest-bubble')
  const input = page.locator('textarea.text-input')

  async function shown(): Promise<void> {
    if (form === 'bubble') await page.locator('button[part="button"]').click()
    await input.or(page.locator('form')).first().waitFor()
  }

  await page.goto(options.address ?? pages.page(bodyOf(options)))
  await shown()
  return {
    page,
    context,
    answers,
    questions,
    async ask(question) {
      const asked = await questions.count()
      await input.fill(question)
      await input.press('Enter')
      await questions.nth(asked).waitFor()
    },
    async attach(file) {
      await page.locator('input[type="file"]').first().setInputFiles(file)
    },
    shows: (text) => answers.filter({ hasText: text }).last().waitFor(),
    said: async () => (await answers.last().innerText()).trim(),
    async isReady() {
      await page.locator('textarea.text-input:enabled').waitFor()
    },
    button: (title) => page.locator(`button[title="${title}"]`),
    async reload() {
      await page.reload()
      await shown()
    },
    async received() {
      const texts = responses.map(async (response) => {
        const headers = JSON.stringify(await response.allHeaders())
        const body = await response.text().catch(() => '')
        return `${response.status()} ${response.url()} ${headers} ${body}`
      })
      return (await Promise.all(texts)).join('\n')
    },
    errors,
    async picture(name) {
      const folder = process.env.CLIENT_PICTURES
      if (folder !== undefined) await page.screenshot({ path: join(folder, `${name}.png`) })
    }
  }
}

function bodyOf({ apiHost, chatflowId, form = 'full', chatWindow = {}, chatflowConfig }: WidgetOptions): string {
  const settings = {
    chatflowid: chatflowId,
    apiHost,
    ...(chatflowConfig ? { chatflowConfig } : {}),
    theme: { chatWindow: { welcomeMessage: 'Welcome to our shop.', ...chatWindow } }
  }
  const start = form === 'full' ? 'initFull' : 'init'
  return `<body style="margin: 0">
    ${form === 'full' ? '<flowise-fullchatbot></flowise-fullchatbot>' : '<h1>Our shop</h1>'}
    <script type="module">
      import Chatbot from '/web.js'
      Chatbot.${start}(${JSON.stringify(settings)})
    </script>
  </body>`
}
