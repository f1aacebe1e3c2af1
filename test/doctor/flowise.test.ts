import t from 'tap'
import { createSystemClock } from '../../src/clock.ts'
import { DENYLIST_LINE, PUBLIC_PATHS } from '../../src/doctor/exposure.ts'
import { isPublicAddress, probeFlowise } from '../../src/doctor/flowise.ts'
import { startFlowiseDoor } from './flowise-door.ts'

const clock = createSystemClock()
const ask = (url: string, apiKey: string | undefined = 'door-key') =>
  probeFlowise({ url, apiKey, isSyncEnabled: true, clock })

t.test('a fresh Flowise is open, and the line that closes it is told', async (t) => {
  const door = await startFlowiseDoor(t)
  const findings = await ask(door.url)
  const exposure = findings.find(({ copy }) => copy !== undefined)
  t.match(exposure?.text, `${PUBLIC_PATHS.length} of ${PUBLIC_PATHS.length} paths answer without a key: prediction, `)
  t.equal(exposure?.level, 'warn', 'on a private network')
  t.equal(exposure?.copy, DENYLIST_LINE)
  t.match(findings[0], { level: 'ok', text: /^Flowise 3\.1\.4 at / })
  t.ok(findings.some(({ level, text }) => level === 'ok' && text === 'the API key is accepted'))
})

t.test('with that line it is closed, and the gateway still comes in with its key', async (t) => {
  const door = await startFlowiseDoor(t, { denylist: DENYLIST_LINE })
  const findings = await ask(door.url)
  t.strictSame(new Set(findings.map(({ level }) => level)), new Set(['ok']))
  t.match(findings.at(-1)?.text, /^none of \d+ paths/)
})

t.test('a line that closes some leaves the others to be told', async (t) => {
  const door = await startFlowiseDoor(t, { denylist: 'DENYLIST_URLS=/api/v1/prediction/,/api/v1/leads' })
  const text = (await ask(door.url)).at(-1)?.text ?? ''
  t.notMatch(text, /: prediction|, leads/)
  t.match(text, /verify\/apikey, chatflows\/apikey$/, 'a 401 about the key in the path is an answer')
})

t.test('nothing is asked that could start, change or cost anything', async (t) => {
  const door = await startFlowiseDoor(t)
  await ask(door.url)
  t.ok(door.requests.length > PUBLIC_PATHS.length)
  for (const line of door.requests) t.match(line, /^GET /)
  const named = door.requests.filter((line) => /prediction|webhook|mcp/.test(line))
  for (const line of named) t.match(line, '/00000000-0000-4000-8000-000000000000', 'a chatflow that does not exist')
})

t.test('the line is one that Flowise can read', async (t) => {
  t.match(DENYLIST_LINE, /^DENYLIST_URLS=(\/api\/v1\/[A-Za-z/-]+,?)+$/, 'Flowise does not trim')
  const entries = PUBLIC_PATHS.map(({ entry }) => entry)
  t.equal(new Set(entries).size, entries.length)
  for (const needed of ['ping', 'version', 'settings', 'auth/login', 'account/register', 'oauth2-credential/callback'])
    t.notOk(entries.includes(`/api/v1/${needed}`), `${needed} is asked before there is a login`)
})

t.test('keys and versions that do not fit are told', async (t) => {
  const { url } = await startFlowiseDoor(t, { version: '2.2.7' })
  const wrong = await ask(url, 'another key')
  t.ok(wrong.some(({ level, text }) => level === 'fail' && text === 'Flowise does not know the API key'))
  t.ok(wrong.some(({ level, text }) => level === 'warn' && text.includes('made for Flowise 3')))
  const findings = await probeFlowise({ url, apiKey: undefined, isSyncEnabled: true, clock })
  t.ok(findings.some(({ level, text }) => level === 'warn' && text.includes('FLOWISE_API_KEY is unset')))
  t.match(findings.at(-1)?.next, /^first set FLOWISE_API_KEY here/)
})

t.test('nobody there, and somebody else there', async (t) => {
  const gone = await ask('http://127.0.0.1:1')
  t.match(gone, [{ level: 'fail', text: /the connection is refused$/ }])
  const door = await startFlowiseDoor(t)
  const other = await ask(`${door.url}/elsewhere`)
  t.match(other, [{ level: 'fail', text: /is not Flowise/ }])
})

t.test('which addresses are on the internet', async (t) => {
  const internal = [
    '127.0.0.1',
    '10.1.2.3',
    '172.31.0.1',
    '192.168.1.1',
    '100.64.0.1',
    '[::1]',
    '[fd00::1]',
    'localhost'
  ]
  for (const host of internal) t.equal(await isPublicAddress(host), false, host)
  for (const host of ['8.8.8.8', '172.32.0.1', '[2001:4860:4860::8888]'])
    t.equal(await isPublicAddress(host), true, host)
})
