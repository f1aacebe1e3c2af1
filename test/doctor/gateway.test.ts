import { createServer, get } from 'node:http'
import { createSecureServer } from 'node:http2'
import t from 'tap'
import { createSystemClock } from '../../src/clock.ts'
import type { Finding, Level } from '../../src/doctor/finding.ts'
import { probeGateway } from '../../src/doctor/gateway.ts'
import { version } from '../../src/version.ts'
import { buildTestApp } from '../helper.ts'
import { makeCertificate } from '../server/certificate.ts'
import { startProxy } from './proxy.ts'

const clock = createSystemClock()
const probe = (url: string, isPublic = true) => probeGateway({ url, isPublic, version, clock })
const has = (findings: Finding[], level: Level, text: RegExp) =>
  findings.some((finding) => finding.level === level && text.test(finding.text))

t.test('nothing in between: streams arrive as sent', async (t) => {
  const { listen } = await buildTestApp(t, { env: { METRICS_TOKEN: 'only-for-monitoring' } })
  const findings = await probe(await listen())
  t.ok(has(findings, 'ok', /^gateway \d.* at http:.*, HTTP\/1\.1, \d+ ms away$/))
  // On a machine under load a gap may stretch; what was sent apart never comes together.
  t.ok(
    findings.some(({ text }) => /^streams (arrive as sent|are held back)/.test(text)),
    JSON.stringify(findings)
  )
  t.ok(has(findings, 'ok', /^\/metrics is closed/))
  t.ok(has(findings, 'ok', /^made-up forwarding headers are not believed/))
  t.notOk(findings.some(({ level }) => level === 'fail'))
})

t.test('a proxy that collects a reply before it passes it on is found out', async (t) => {
  const { listen } = await buildTestApp(t)
  const findings = await probe(await startProxy(t, await listen(), { manner: 'buffers' }))
  t.ok(
    has(findings, 'fail', /^streams are buffered: 5 events sent over \d+ ms came within \d+ ms/),
    JSON.stringify(findings)
  )
})

t.test('a proxy that passes on what comes is not', async (t) => {
  const { listen } = await buildTestApp(t)
  const findings = await probe(await startProxy(t, await listen()))
  t.notOk(
    findings.some(({ level }) => level === 'fail'),
    JSON.stringify(findings)
  )
})

t.test('a proxy that compresses is told, and its streams are read all the same', async (t) => {
  const { listen } = await buildTestApp(t)
  const findings = await probe(await startProxy(t, await listen(), { manner: 'compresses' }))
  t.ok(has(findings, 'warn', /compressed with gzip/), JSON.stringify(findings))
})

t.test('a proxy that cuts streams is told', async (t) => {
  const { listen } = await buildTestApp(t)
  const findings = await probe(await startProxy(t, await listen(), { manner: 'breaks' }))
  t.ok(has(findings, 'fail', /^the test stream breaks off after 1 of 5 events/), JSON.stringify(findings))
})

t.test('whose forwarding headers are believed', async (t) => {
  const counted = async (trust: string, isProxied: boolean) => {
    const { listen } = await buildTestApp(t, { env: { TRUST_PROXY: trust } })
    const url = await listen()
    return probe(isProxied ? await startProxy(t, url, { isForwarding: true }) : url)
  }
  t.ok(has(await counted('1', true), 'ok', /^made-up forwarding headers are not believed/), 'as many as there are')
  t.ok(has(await counted('2', true), 'fail', /X-Forwarded-For is believed as sent/), 'more than there are')
  t.ok(has(await counted('1', false), 'fail', /X-Forwarded-For is believed as sent/), 'a proxy that is not there')
  t.ok(has(await counted('false', true), 'warn', /all clients share its limits/), 'a proxy that is not trusted')
})

t.test('a gateway that takes no traffic is told, with the reason', async (t) => {
  const { listen, standIn } = await buildTestApp(t)
  const url = await listen()
  await standIn.close()
  t.ok(has(await probe(url, false), 'fail', /^it takes no traffic now: flowise down$/))
})

t.test('somebody else, a redirect, and nobody', async (t) => {
  const server = createServer((request, response) => {
    if (request.url?.startsWith('/old')) response.writeHead(301, { location: 'https://chat.example.com/health' }).end()
    else response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>It works!</h1>')
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const url = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
  t.match(await probe(url), [{ level: 'fail', text: /is not the gateway \(status 200/ }])
  t.match(await probe(`${url}/old`), [{ level: 'fail', text: /redirects to https:\/\/chat\.example\.com\/health$/ }])
  t.match(await probe('http://127.0.0.1:1'), [{ level: 'fail', text: /the connection is refused$/ }])
})

t.test('HTTP/2 is used where it is offered, and certificates are checked from outside', async (t) => {
  const { cert, key } = makeCertificate()
  const { listen } = await buildTestApp(t)
  const upstream = await listen()
  const edge = createSecureServer({ cert, key, allowHTTP1: true }, (request, response) => {
    get(`${upstream}${request.url}`, (incoming) => {
      response.writeHead(incoming.statusCode ?? 502, { 'content-type': incoming.headers['content-type'] })
      incoming.pipe(response)
    })
  })
  await new Promise<void>((resolve) => void edge.listen(0, '127.0.0.1', resolve))
  t.teardown(() => edge.close())
  const address = edge.address()
  const url = `https://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
  const findings = await probe(url, false)
  t.ok(has(findings, 'ok', /HTTP\/2, \d+ ms away$/), JSON.stringify(findings))
  t.notOk(findings.some(({ level }) => level === 'fail'))
  t.match(await probe(url, true), [{ level: 'fail', text: /its certificate is signed by itself$/ }])
})
