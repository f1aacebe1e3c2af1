import { readRedisAddress } from '../bus/redis-address.ts'
import { type Clock, createSystemClock } from '../clock.ts'
import { type Config, ConfigError, loadConfigFromProcess } from '../config.ts'
import { verifyLedger } from '../credits/verify.ts'
import { checkEnvironment, environmentProblems } from '../doctor/environment.ts'
import { type Finding, reportOn } from '../doctor/finding.ts'
import { probeFlowise } from '../doctor/flowise.ts'
import { probeGateway } from '../doctor/gateway.ts'
import { probeRedis } from '../doctor/redis.ts'
import { reportJson, reportText, withoutSecrets } from '../doctor/report.ts'
import { probeStore } from '../doctor/store.ts'
import { type OpenedStore, openStore } from '../store/open.ts'
import { version } from '../version.ts'
import { type Command, UsageError } from './command.ts'

/** A deployment as its environment, its parts and its clients see it. Changes nothing anywhere. */
export const doctor: Command = {
  options: { url: 'public URL', json: true },
  summary: 'probes a deployment: environment, store, Redis, Flowise, and the way to the gateway',
  async run({ options }) {
    const clock = createSystemClock()
    const url = readPublicUrl(options.url)
    const { config, problems } = readConfig()
    const findings = config
      ? await probeAll(config, url, clock)
      : [...environmentProblems(problems), ...(url === undefined ? [] : await askGateway(url, clock))]
    const clean = withoutSecrets(findings, config ? secretsOf(config) : [])
    process.stdout.write(
      options.json === true ? reportJson(clean) : reportText(clean, { isColoured: process.stdout.isTTY })
    )
    return findings.some(({ level }) => level === 'fail') ? 1 : 0
  }
}

/** All at once: the slowest decides how long it takes. */
async function probeAll(config: Config, url: string | undefined, clock: Clock): Promise<Finding[]> {
  const findings = await Promise.all([
    askStore(config, clock),
    askRedis(config),
    askFlowise(config, clock),
    url === undefined ? askOwnPort(config, clock) : askGateway(url, clock)
  ])
  return [...checkEnvironment(config), ...findings.flat()]
}

async function askStore(config: Config, clock: Clock): Promise<Finding[]> {
  try {
    const store = await openStore(config, { mode: 'inspect' })
    try {
      const name = store.mongo ? await describeMongo(store.mongo) : `SQLite in ${config.dataDir}`
      const verify = async () => (await verifyLedger(store)).problems
      return await probeStore({ store, name, now: clock.now(), verify })
    } finally {
      await store.close()
    }
  } catch (error) {
    const next = 'start the gateway once, and run this command with its environment'
    return [reportOn('store')('fail', sentenceOf(error), { next })]
  }
}

/** The server by what it says about itself: kind, version, database. */
async function describeMongo({ client, database }: NonNullable<OpenedStore['mongo']>): Promise<string> {
  const info = await client.db('admin').command({ buildInfo: 1 })
  const kind = `${'ferretdbVersion' in info ? 'FerretDB, which speaks like ' : ''}MongoDB ${info.version}`
  return `${kind}, database ${database}`
}

async function askRedis({ redisUrl }: Config): Promise<Finding[]> {
  if (redisUrl === undefined) return []
  try {
    return await probeRedis(readRedisAddress(redisUrl))
  } catch (error) {
    return [reportOn('redis')('fail', sentenceOf(error))]
  }
}

async function askFlowise({ flowise, isProduction }: Config, clock: Clock): Promise<Finding[]> {
  const { url, apiKey, isSyncEnabled } = flowise
  if (url !== undefined) return probeFlowise({ url, apiKey, isSyncEnabled, clock })
  const level = isProduction ? 'fail' : 'warn'
  return [reportOn('flowise')(level, 'the built-in demo answers, not Flowise', { next: 'set FLOWISE_API_URL' })]
}

function askGateway(url: string, clock: Clock): Promise<Finding[]> {
  return probeGateway({ url, isPublic: true, version, clock })
}

function askOwnPort({ host, port, tls }: Config, clock: Clock): Promise<Finding[]> {
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host
  const url = `${tls ? 'https' : 'http'}://${name}:${port}`
  return probeGateway({ url, isPublic: false, version, clock })
}

/** The configuration, or the sentences about what is wrong with it. */
function readConfig(): { config?: Config; problems: readonly string[] } {
  try {
    return { config: loadConfigFromProcess(), problems: [] }
  } catch (error) {
    if (error instanceof ConfigError) return { problems: error.problems }
    throw error
  }
}

function readPublicUrl(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (!url || !['http:', 'https:'].includes(url.protocol) || url.search || url.hash || url.username || url.password)
    throw new UsageError('--url must be an http or https URL without credentials, query or fragment.')
  return value.replace(/\/$/, '')
}

function secretsOf({ jwt, flowise, metricsToken, admin, redisUrl, mongodb }: Config): (string | undefined)[] {
  const urls = [redisUrl, mongodb?.url].filter((url) => url !== undefined)
  const passwords = urls.flatMap((url) => {
    const [, password] = /^[a-z+]+:\/\/[^:@/]*:([^@/]*)@/.exec(url) ?? []
    return password === undefined ? [] : [password, decoded(password)]
  })
  return [jwt.secret, flowise.apiKey, metricsToken, admin.password, ...passwords]
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/\.$/, '') : String(error)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
