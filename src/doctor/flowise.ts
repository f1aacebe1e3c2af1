import { lookup } from 'node:dns/promises'
import { BlockList, isIPv6 } from 'node:net'
import type { Clock } from '../clock.ts'
import { probeExposure } from './exposure.ts'
import { type Finding, reportOn } from './finding.ts'
import { createHttpProbe, type HttpProbe, reasonOf } from './http-probe.ts'

export interface FlowiseProbe {
  /** Without a slash at its end and without `/api/v1`. */
  url: string
  apiKey: string | undefined
  isSyncEnabled: boolean
  clock: Clock
}

const MADE_FOR_MAJOR = '3'
const SLOW_MS = 500
const SKEW_MS = 10_000
/** Networks that the internet does not route. */
const PRIVATE: readonly (readonly [network: string, bits: number])[] = [
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['::1', 128],
  ['fc00::', 7],
  ['fe80::', 10]
]

/** Whether Flowise is there, which one, whether it takes the key, and what it gives without one. GETs only. */
export async function probeFlowise({ url, apiKey, isSyncEnabled, clock }: FlowiseProbe): Promise<Finding[]> {
  const report = reportOn('flowise')
  const http = createHttpProbe({ baseUrl: url, clock })
  try {
    const here = await probePresence(http, url, clock)
    if (here.some(({ level }) => level === 'fail')) return here
    const isPublic = await isPublicAddress(new URL(url).hostname)
    return [
      ...here,
      await probeKey(http, apiKey, isSyncEnabled),
      ...(isPublic
        ? [report('warn', 'its address is reachable from the internet', { next: 'move Flowise to a private network' })]
        : []),
      ...(await probeExposure({ http, isPublicAddress: isPublic, hasApiKey: apiKey !== undefined }))
    ]
  } catch (error) {
    return [
      report('fail', `no answer from ${url}: ${reasonOf(error)}`, { next: 'check FLOWISE_API_URL and the network' })
    ]
  } finally {
    await http.close()
  }
}

async function probePresence(http: HttpProbe, url: string, clock: Clock): Promise<Finding[]> {
  const report = reportOn('flowise')
  // The first answer opens the connection; the second says how far away Flowise is.
  await http.get('/api/v1/ping')
  const { status, text, elapsedMs, headers } = await http.get('/api/v1/ping')
  if (status !== 200 || text.trim() !== 'pong')
    return [
      report('fail', `what answers at ${url} is not Flowise (status ${status} to /api/v1/ping)`, {
        next: 'set FLOWISE_API_URL to the address of Flowise itself'
      })
    ]
  const version = versionIn((await http.get('/api/v1/version')).text)
  const findings = [report('ok', `Flowise ${version ?? 'of unknown version'} at ${url}, ${elapsedMs} ms away`)]
  if (version?.split('.')[0] !== MADE_FOR_MAJOR)
    findings.push(
      report('warn', `this gateway is made for Flowise ${MADE_FOR_MAJOR}`, { next: `run Flowise ${MADE_FOR_MAJOR}` })
    )
  if (elapsedMs > SLOW_MS)
    findings.push(report('warn', `it takes ${elapsedMs} ms to say that it is there`, { next: 'look at its load' }))
  const skewMs = Math.abs(Date.parse(headers.date ?? '') - clock.now())
  if (skewMs > SKEW_MS)
    findings.push(
      report('warn', `its clock and this one are ${Math.round(skewMs / 1000)} s apart`, { next: 'run NTP on both' })
    )
  return findings
}

async function probeKey(http: HttpProbe, apiKey: string | undefined, isSyncEnabled: boolean): Promise<Finding> {
  const report = reportOn('flowise')
  const next = 'make an API key in Flowise that may view chatflows and agentflows, and set FLOWISE_API_KEY'
  if (apiKey === undefined)
    return report('warn', `FLOWISE_API_KEY is unset${isSyncEnabled ? ': the catalogue cannot be synced' : ''}`, {
      next
    })
  const { status } = await http.get('/api/v1/chatflows?page=1&limit=1', { authorization: `Bearer ${apiKey}` })
  if (status === 200) return report('ok', 'the API key is accepted')
  if (status === 401) return report('fail', 'Flowise does not know the API key', { next })
  if (status === 403) return report('fail', 'the API key may not list chatflows', { next })
  return report('fail', `Flowise answers ${status} to the listing of chatflows`, { next: "look into Flowise's log" })
}

function versionIn(text: string): string | undefined {
  return /"version"\s*:\s*"([\w.+-]{1,40})"/.exec(text)?.[1]
}

/** True if one of the host's addresses is routed on the internet. */
export async function isPublicAddress(hostname: string): Promise<boolean> {
  const known = new BlockList()
  for (const [network, bits] of PRIVATE) known.addSubnet(network, bits, isIPv6(network) ? 'ipv6' : 'ipv4')
  const addresses = await lookup(hostname.replace(/^\[|\]$/g, ''), { all: true })
  return addresses.some(({ address, family }) => !known.check(address, family === 6 ? 'ipv6' : 'ipv4'))
}
