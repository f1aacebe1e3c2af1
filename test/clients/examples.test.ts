import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { startGateway } from './gateway.ts'

const EXAMPLES = join(import.meta.dirname, '../../docs/examples')
const run = promisify(execFile)

/** What an example prints when it runs as its first lines say. */
async function printed(t: Test, command: string, file: string): Promise<string> {
  const { url, apiKey } = await startGateway(t)
  const env = { GATEWAY_URL: url, GATEWAY_API_KEY: apiKey, GATEWAY_CHATFLOW: DEMO_IDS.echo }
  const { stdout, stderr } = await run(command, [join(EXAMPLES, file)], { env: { ...process.env, ...env } })
  t.equal(stderr, '')
  return stdout
}

t.test('the example for flowise-sdk does what it says', async (t) => {
  const lines = (await printed(t, process.execPath, 'sdk.mjs')).trimEnd().split('\n')
  t.strictSame(lines, ['answer: My name is Ada.', 'charged: 1', 'streamed: Before that you said: My name is Ada.'])
})

t.test('the example for curl does what it says', async (t) => {
  const text = await printed(t, 'sh', 'curl.sh')
  const [, chatflows = '', answer = '', stream = '', flowise = '', credits = ''] = text.split(/^# .*\n/m)
  t.match(JSON.parse(chatflows), [{ id: String, name: String }])
  t.match(JSON.parse(answer), { response: 'My name is Ada.', session_id: /^example-/ })
  t.match(stream, /^event: token\ndata: .*Ada\./m)
  t.match(JSON.parse(flowise), { text: 'Hello', chatId: /^example-/ })
  t.match(JSON.parse(credits), { credits_remaining: 97 })
})

t.test('the example of a lost stream does what it says', async (t) => {
  const { url, apiKey, standIn, credits } = await startGateway(t)
  const words = 'one two three four five six seven eight nine ten'.split(/(?<= )/)
  const events = words.map((word) => ['token', word] as const)
  standIn.next({ events: [['start', ''], ...events, ['metadata', {}]], gates: { 3: 'lost' } })
  const env = { ...process.env, GATEWAY_URL: url, GATEWAY_API_KEY: apiKey, GATEWAY_CHATFLOW: DEMO_IDS.echo }
  const child = run(process.execPath, [join(EXAMPLES, 'resume.mjs')], { env })
  const lost = Promise.withResolvers<void>()
  child.child.stdout?.on('data', () => lost.resolve())
  await Promise.race([lost.promise, child])
  standIn.gate('lost').open()
  const [first = '', second] = (await child).stdout.trimEnd().split('\n')
  t.match(first, /^lost: one ?(two )?$/)
  t.equal(second, `resumed: ${words.join('')}`)
  t.equal(await credits(), 99)
})

t.test('the page names the version of the widget that is tested', async (t) => {
  const { version } = JSON.parse(
    readFileSync(join(import.meta.dirname, '../../node_modules/flowise-embed/package.json'), 'utf8')
  )
  t.match(readFileSync(join(EXAMPLES, 'widget.html'), 'utf8'), `flowise-embed@${version}/dist/web.js`)
})
