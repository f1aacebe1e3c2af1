import type { Clock } from '../clock.ts'
import { counted, type Finding, reportOn } from './finding.ts'
import { createHttpProbe, type HttpProbe, type ProbeReply, reasonOf } from './http-probe.ts'
import { judgeStream, measureStream, STREAM_PATH } from './stream.ts'
import { readTestEvent, type SeenCaller } from './test-stream.ts'

export interface GatewayProbe {
  /** Where clients find the gateway, without a slash at its end. */
  url: string
  /** False: the port itself, with nothing in between. */
  isPublic: boolean
  /** Of the gateway that this command belongs to. */
  version: string
  clock: Clock
}

const SERVICE = 'flowise-proxy-service'
const DAY_MS = 86_400_000
const CERTIFICATE_DAYS = 14
/** From a network that is reserved for documentation: nobody has it. */
const MADE_UP_ADDRESS = '192.0.2.1'

/** What a client meets on the way to the gateway: proxies, TLS, buffering. Asks for nothing that needs a login. */
export async function probeGateway({ url, isPublic, version, clock }: GatewayProbe): Promise<Finding[]> {
  const report = reportOn('gateway')
  const http = createHttpProbe({ baseUrl: url, clock, isCertificateChecked: isPublic })
  try {
    const here = await probePresence(http, url, version)
    if (here.some(({ level }) => level === 'fail')) return here
    const measurement = await measureStream(http, clock)
    const outside = isPublic
      ? [
          ...(await probeTransport(http, url, clock)),
          ...(await probeForwarding(http, measurement.arrivals[0]?.event.caller)),
          ...(await probePages(http))
        ]
      : []
    return [...here, ...judgeStream(measurement), ...outside]
  } catch (error) {
    const next = isPublic ? 'check the address and the proxies' : 'start the gateway, or name its address with --url'
    return [report('fail', `no answer from ${url}: ${reasonOf(error)}`, { next })]
  } finally {
    await http.close()
  }
}

async function probePresence(http: HttpProbe, url: string, version: string): Promise<Finding[]> {
  const report = reportOn('gateway')
  const health = await http.get('/health')
  const { location } = health.headers
  if (health.status >= 300 && health.status < 400 && location !== undefined)
    return [report('fail', `${url} redirects to ${location}`, { next: 'name the address where the redirects end' })]
  const said = health.status === 200 ? membersOf(health) : {}
  if (said.service !== SERVICE)
    return [
      report('fail', `what answers at ${url} is not the gateway (status ${health.status} to /health)`, {
        next: 'check the address, and where the proxies send it'
      })
    ]
  const protocol = http.connection?.protocol ?? 'HTTP/1.1'
  const findings = [report('ok', `gateway ${String(said.version)} at ${url}, ${protocol}, ${health.elapsedMs} ms away`)]
  if (said.version !== version)
    findings.push(
      report('warn', `this command belongs to version ${version}`, { next: 'run the doctor of that version' })
    )
  const ready = await http.get('/ready')
  const checks = Object.entries(Object(membersOf(ready).checks))
  const down = checks.filter(([, check]) => check !== 'ok').map(([name]) => name)
  if (ready.status !== 200)
    findings.push(
      report('fail', `it takes no traffic now: ${down.length > 0 ? `${down.join(', ')} down` : 'shutting down'}`, {
        next: 'see the findings about these, or its log'
      })
    )
  return findings
}

async function probeTransport(http: HttpProbe, url: string, clock: Clock): Promise<Finding[]> {
  const report = reportOn('gateway')
  const { protocol, hostname, port } = new URL(url)
  if (protocol === 'http:')
    return [
      report('warn', 'passwords and tokens travel without TLS', { next: 'offer the gateway at an https address only' })
    ]
  const findings: Finding[] = []
  const expiresAt = http.connection?.certificateExpiresAt
  if (expiresAt !== undefined) {
    const days = Math.floor((expiresAt - clock.now()) / DAY_MS)
    const text = `the certificate is valid for ${counted(days, 'day')}`
    findings.push(
      days < CERTIFICATE_DAYS ? report('warn', text, { next: 'see why nothing has renewed it' }) : report('ok', text)
    )
  }
  if ((await http.get('/health')).headers['strict-transport-security'] === undefined)
    findings.push(
      report('warn', 'no Strict-Transport-Security header', {
        next: 'let whatever ends TLS send it (max-age=31536000)'
      })
    )
  if (port === '') findings.push(...(await probePlain(hostname, clock)))
  return findings
}

/** What the same host says without TLS: nothing, or where to go instead. */
async function probePlain(hostname: string, clock: Clock): Promise<Finding[]> {
  const report = reportOn('gateway')
  const plain = createHttpProbe({ baseUrl: `http://${hostname}`, clock })
  try {
    const { status, headers } = await plain.get('/health')
    const isRedirect = status >= 300 && status < 400 && headers.location?.startsWith('https://')
    if (isRedirect) return [report('ok', 'http is redirected to https')]
    if (status >= 400) return [report('ok', `http is refused (status ${status})`)]
    return [report('warn', 'the gateway answers on http too', { next: 'redirect port 80 to https' })]
  } catch {
    return [report('ok', 'nothing answers on http')]
  } finally {
    await plain.close()
  }
}

/** Whether limits count by the client's address, and whether clients can choose it. */
async function probeForwarding(http: HttpProbe, seen: SeenCaller | undefined): Promise<Finding[]> {
  const report = reportOn('gateway')
  if (seen && seen.forwarded > 0 && seen.believed === 0)
    return [
      report('warn', 'a proxy forwards addresses that are not believed: all clients share its limits', {
        next: 'set TRUST_PROXY to the number of proxies in front, or to their addresses'
      })
    ]
  const { body, status } = await http.open(STREAM_PATH, {
    headers: { 'x-forwarded-for': MADE_UP_ADDRESS },
    timeoutMs: 5000
  })
  const frames: string[] = []
  for await (const chunk of body) {
    frames.push(String(chunk))
    // The first event says it all; leaving the loop closes the stream.
    if (frames.join('').includes('\n\n')) break
  }
  const caller = status === 200 ? readTestEvent(frames.join('').split('\n\n')[0] ?? '')?.caller : undefined
  if (caller === undefined) return []
  if (caller.address === MADE_UP_ADDRESS)
    return [
      report('fail', 'anybody can choose the address that login limits count by: X-Forwarded-For is believed as sent', {
        next: 'set TRUST_PROXY to exactly the number of proxies in front, or to their addresses'
      })
    ]
  return [report('ok', 'made-up forwarding headers are not believed')]
}

/** What strangers can read besides the API. */
async function probePages(http: HttpProbe): Promise<Finding[]> {
  const report = reportOn('gateway')
  const metrics = await http.get('/metrics')
  const docs = await http.get('/openapi.json')
  return [
    metrics.status === 200
      ? report('warn', '/metrics is open to everybody', { next: 'set METRICS_TOKEN, or keep the path off the proxy' })
      : report('ok', '/metrics is closed to strangers'),
    report('ok', `/docs and /openapi.json are ${docs.status === 200 ? 'open: they name routes, no data' : 'closed'}`)
  ]
}

function membersOf({ text }: ProbeReply): Record<string, unknown> {
  try {
    return Object(JSON.parse(text))
  } catch {
    return {}
  }
}
