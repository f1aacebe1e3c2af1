import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { eventsOf, settled, stored, textOf } from '../prediction/tools.ts'
import { startSecure } from './secure.ts'

const STREAM = '/api/v1/chat/predict/stream'
const ask = { chatflow_id: DEMO_IDS.echo, question: 'hi' }

/** Why these tests cannot run here; false if they can. */
function missing(): string | false {
  try {
    return /\bHTTP2\b/.test(execFileSync('curl', ['--version']).toString()) ? false : 'this curl has no HTTP/2'
  } catch {
    return 'there is no curl'
  }
}

async function start(t: Test) {
  // Who leaves stops at once.
  const gateway = await startSecure(t, { RESUME_SECONDS: '0' })
  const { files, url, user } = gateway
  /** Starts curl; `text` is what it has printed. */
  const curl = (options: string[], path = STREAM) => {
    const all = ['-sS', '--max-time', '30', '--cacert', files.certFile, '-H', `authorization: Bearer ${user.token}`]
    const child = spawn('curl', [...all, '-H', 'content-type: application/json', ...options, `${url}${path}`])
    let text = ''
    const arrived = new Set<() => void>()
    for (const output of [child.stdout, child.stderr])
      output.on('data', (chunk) => {
        text += chunk
        for (const wake of arrived) wake()
      })
    return {
      child,
      ended: once(child, 'close').then(() => text),
      until: (pattern: RegExp) =>
        new Promise<void>((resolve) => {
          arrived.add(() => {
            if (pattern.test(text)) resolve()
          })
        })
    }
  }
  return { ...gateway, curl }
}

for (const [option, version] of [
  ['--http2', '2'],
  ['--http1.1', '1.1']
] as const)
  t.test(`curl ${option}`, { skip: missing() }, async (t) => {
    const gateway = await start(t)
    const { standIn, user, curl, app } = gateway
    const body = ['-d', JSON.stringify(ask)]
    const streamed = await curl([option, '-N', '-w', '\n%{http_version} %{http_code}', ...body]).ended
    t.equal(streamed.split('\n').at(-1), `${version} 200`)
    const frames = streamed.slice(0, streamed.lastIndexOf('\n'))
    t.equal(textOf(frames), 'hi')
    t.equal(eventsOf(frames).at(-1)?.event, 'end')
    const whole = await curl([option, ...body], '/api/v1/chat/predict').ended
    t.equal(JSON.parse(whole).response, 'hi')

    standIn.next({ events: [['token', 'half']], end: 'open' })
    const left = curl([option, '-N', ...body])
    await left.until(/half/)
    left.child.kill('SIGKILL')
    await standIn.waitFor(({ method }) => method === 'PUT')
    await settled(t, gateway, user.id)
    t.equal(app.exchanges.size, 0)
    t.equal((await stored(gateway).charges(user.id)).length, 3)
  })

t.test('curl learns at once that its upload is not wanted', { skip: missing() }, async (t) => {
  const { curl } = await start(t)
  const big = Buffer.alloc(3_000_000, 'x')
  for (const option of ['--http2', '--http1.1']) {
    const sent = curl([option, '--data-binary', '@-', '-H', 'expect:', '-w', '\n%{http_code}'], '/chat/authenticate')
    sent.child.stdin.on('error', () => {})
    sent.child.stdin.end(big)
    t.match(await sent.ended, /body_too_large.*\n413$/, option)
  }
})
