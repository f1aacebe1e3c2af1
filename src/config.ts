import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

const text = (description: string, initial?: string) =>
  Type.String({ description, ...(initial === undefined ? {} : { default: initial }) })
const flag = (description: string, initial: boolean) => Type.Boolean({ description, default: initial })
const whole = (description: string, initial: number, minimum: number, maximum: number) =>
  Type.Integer({ description, default: initial, minimum, maximum })
const amount = (description: string, initial: number, maximum = 1_000_000_000) =>
  Type.Number({ description, default: initial, minimum: 0, maximum })
const choice = (description: string, initial: string, ...others: string[]) =>
  Type.String({ description, default: initial, enum: [initial, ...others] })

/** The environment: one member per variable, with its default and its meaning. README and .env.example are made from it. */
export const environment = Type.Object({
  NODE_ENV: choice('`production` turns the strict rules on', 'development', 'production', 'test'),
  HOST: text('address to listen on', '0.0.0.0'),
  PORT: whole('port to listen on', 8000, 0, 65_535),
  DATA_DIR: text('folder of the embedded store and of the generated secret; created with mode 0700', './data'),
  DEBUG: flag('log level debug, nothing else', false),
  LOG_LEVEL: choice('least severe level that is logged', 'info', 'fatal', 'error', 'warn', 'debug', 'trace', 'silent'),
  TRUST_PROXY: text('number of hops, or comma list of CIDRs, whose forwarding headers are believed', 'false'),
  CORS_ORIGINS: Type.Optional(
    text('comma list of origins (alias CORS_ORIGIN). Unset: none in production, any without credentials in development')
  ),
  METRICS_TOKEN: Type.Optional(text('bearer that /metrics then asks for')),
  JWT_SECRET_KEY: Type.Optional(
    text('signing secret of access tokens, at least 32 bytes. Required in production; else generated and kept')
  ),
  JWT_ALGORITHM: choice('algorithm of access tokens', 'HS256', 'HS384', 'HS512'),
  JWT_EXPIRATION_HOURS: Type.Number({
    description: 'life of access tokens',
    default: 24,
    minimum: 0.001,
    maximum: 8760
  }),
  REFRESH_TOKEN_DAYS: Type.Number({ description: 'life of refresh tokens', default: 7, minimum: 0.001, maximum: 3650 }),
  LOGIN_FAILURE_LIMIT: whole(
    'failed logins per 15 minutes, per address and username; ten times that per address; 0 = off',
    20,
    0,
    1_000_000
  ),
  ADMIN_USERNAME: text('first administrator, made only while there is none', 'admin'),
  ADMIN_PASSWORD: Type.Optional(text('its password; unset: a random one is printed once')),
  ADMIN_EMAIL: text('its e-mail address', 'admin@example.com'),
  FLOWISE_API_URL: Type.Optional(
    text('base URL of Flowise. Required in production; unset in development: the built-in demo Flowise')
  ),
  FLOWISE_API_KEY: Type.Optional(text('API key of Flowise; needed for the catalogue sync')),
  ENABLE_CHATFLOW_SYNC: flag('unattended sync of the chatflow catalogue', true),
  CHATFLOW_SYNC_INTERVAL_HOURS: Type.Number({
    description: 'time between two syncs',
    default: 0.05,
    minimum: 0.001,
    maximum: 8760
  }),
  FIRST_BYTE_TIMEOUT_MS: whole("longest time to Flowise's first event or JSON answer", 60_000, 1, 86_400_000),
  STREAM_IDLE_TIMEOUT_MS: whole('longest time between two events of a stream', 120_000, 1, 86_400_000),
  MAX_STREAM_SECONDS: Type.Number({
    description: 'longest time of a whole prediction',
    default: 3600,
    minimum: 0.001,
    maximum: 604_800
  }),
  SSE_PING_SECONDS: Type.Number({
    description: 'silence before a `: ping` comment',
    default: 15,
    minimum: 0.001,
    maximum: 3600
  }),
  DRAIN_SECONDS: Type.Number({
    description: 'time that running predictions get at shutdown',
    default: 30,
    minimum: 0,
    maximum: 86_400
  }),
  MAX_BODY_MB: Type.Number({ description: 'largest body of a prediction', default: 20, minimum: 0.001, maximum: 1024 }),
  MAX_FILE_MB: Type.Number({
    description: 'largest file of a multipart prediction',
    default: 10,
    minimum: 0.001,
    maximum: 1024
  }),
  MAX_UPLOADS: whole('most files of one prediction', 5, 0, 100),
  MAX_ANSWER_MB: Type.Number({ description: 'largest answer of Flowise', default: 20, minimum: 0.001, maximum: 1024 }),
  RATE_LIMIT_PER_MINUTE: whole('predictions a user may start per minute; 0 = off', 600, 0, 1_000_000),
  MAX_CONCURRENT_PER_USER: whole('predictions of a user that may run at once', 50, 1, 10_000),
  DEFAULT_CREDITS: amount('credits granted to each new account', 0),
  DEFAULT_CHATFLOW_PRICE: amount('credits per prediction where the chatflow has no price of its own', 1)
})

export type Environment = Static<typeof environment>

export interface Config {
  readonly isProduction: boolean
  readonly host: string
  readonly port: number
  readonly dataDir: string
  readonly logLevel: string
  readonly trustProxy: false | number | string[]
  readonly corsOrigins: readonly string[]
  readonly metricsToken: string | undefined
  readonly jwt: {
    /** Undefined in development until a generated one has been read. */
    readonly secret: string | undefined
    readonly algorithm: 'HS256' | 'HS384' | 'HS512'
    readonly accessTtlMs: number
    readonly refreshTtlMs: number
  }
  readonly loginFailureLimit: number
  readonly admin: { readonly username: string; readonly password: string | undefined; readonly email: string }
  readonly flowise: {
    /** Without trailing slash and without /api/v1; undefined: the demo. */
    readonly url: string | undefined
    readonly apiKey: string | undefined
    readonly isSyncEnabled: boolean
    readonly syncIntervalMs: number
    readonly firstByteTimeoutMs: number
    readonly idleTimeoutMs: number
    readonly deadlineMs: number
    readonly maxAnswerBytes: number
  }
  readonly pingMs: number
  readonly drainMs: number
  readonly limits: {
    readonly bodyBytes: number
    readonly fileBytes: number
    readonly uploads: number
    readonly predictionsPerMinute: number
    readonly concurrentPerUser: number
  }
  readonly credits: { readonly openingMicro: number; readonly priceMicro: number }
}

/** Everything that is wrong with the environment, one sentence each; server.ts prints them and stops. */
export class ConfigError extends Error {
  readonly problems: readonly string[]
  constructor(problems: readonly string[]) {
    super(`The environment has ${problems.length} problem(s):\n${problems.map((line) => `  - ${line}`).join('\n')}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

const SAMPLE_SECRETS = ['your-secret-key-here', 'your-super-secret-jwt-key-here', 'your-secret-key', 'your-secret']
const SAMPLE_PARTS = ['change_this_in_production', 'change-in-production']
/** Features that the API contract names and this version does not have: refusing is safer than ignoring. */
const NOT_AVAILABLE = ['MONGODB_URL', 'REDIS_URL', 'EXTERNAL_AUTH_URL', 'AUTH_JWKS_URL', 'ACCOUNTING_SERVICE_URL']
const MEBIBYTE = 1024 * 1024
const MICRO = 1_000_000

/**
 * Reads the environment; an empty variable counts as unset.
 * @throws ConfigError with every problem at once
 */
export function loadConfig(source: Record<string, string | undefined>): Config {
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(source))
    if (value !== undefined && value.trim() !== '') env[name] = value.trim()
  if (env.CORS_ORIGINS === undefined && env.CORS_ORIGIN !== undefined) env.CORS_ORIGINS = env.CORS_ORIGIN
  const problems: string[] = []
  for (const name of NOT_AVAILABLE)
    if (env[name]) problems.push(`${name} is set, but this version does not support it yet; unset it.`)
  if (env.AUTH_MODE && env.AUTH_MODE !== 'local') problems.push('AUTH_MODE must be local in this version.')

  const values = readValues(env, problems)
  const isProduction = values.NODE_ENV === 'production'
  const flowiseUrl = readUrl('FLOWISE_API_URL', values.FLOWISE_API_URL, problems)
  checkSecret(values.JWT_SECRET_KEY, isProduction, problems)
  if (isProduction && !env.FLOWISE_API_URL)
    problems.push('FLOWISE_API_URL is required in production: the base URL of Flowise.')
  const trustProxy = readTrustProxy(values.TRUST_PROXY, problems)
  const corsOrigins = readOrigins(values.CORS_ORIGINS, isProduction, problems)
  const openingMicro = readMicro('DEFAULT_CREDITS', values.DEFAULT_CREDITS, problems)
  const priceMicro = readMicro('DEFAULT_CHATFLOW_PRICE', values.DEFAULT_CHATFLOW_PRICE, problems)
  if (problems.length > 0) throw new ConfigError(problems)

  return deepFreeze({
    isProduction,
    host: values.HOST,
    port: values.PORT,
    dataDir: values.DATA_DIR,
    logLevel: values.DEBUG && !env.LOG_LEVEL ? 'debug' : values.LOG_LEVEL,
    trustProxy,
    corsOrigins,
    metricsToken: values.METRICS_TOKEN,
    jwt: {
      secret: values.JWT_SECRET_KEY,
      algorithm: values.JWT_ALGORITHM as Config['jwt']['algorithm'],
      accessTtlMs: values.JWT_EXPIRATION_HOURS * 3_600_000,
      refreshTtlMs: values.REFRESH_TOKEN_DAYS * 86_400_000
    },
    loginFailureLimit: values.LOGIN_FAILURE_LIMIT,
    admin: {
      username: values.ADMIN_USERNAME,
      password: values.ADMIN_PASSWORD,
      email: values.ADMIN_EMAIL.toLowerCase()
    },
    flowise: {
      url: flowiseUrl,
      apiKey: values.FLOWISE_API_KEY,
      isSyncEnabled: values.ENABLE_CHATFLOW_SYNC,
      syncIntervalMs: values.CHATFLOW_SYNC_INTERVAL_HOURS * 3_600_000,
      firstByteTimeoutMs: values.FIRST_BYTE_TIMEOUT_MS,
      idleTimeoutMs: values.STREAM_IDLE_TIMEOUT_MS,
      deadlineMs: values.MAX_STREAM_SECONDS * 1000,
      maxAnswerBytes: Math.floor(values.MAX_ANSWER_MB * MEBIBYTE)
    },
    pingMs: values.SSE_PING_SECONDS * 1000,
    drainMs: values.DRAIN_SECONDS * 1000,
    limits: {
      bodyBytes: Math.floor(values.MAX_BODY_MB * MEBIBYTE),
      fileBytes: Math.floor(values.MAX_FILE_MB * MEBIBYTE),
      uploads: values.MAX_UPLOADS,
      predictionsPerMinute: values.RATE_LIMIT_PER_MINUTE,
      concurrentPerUser: values.MAX_CONCURRENT_PER_USER
    },
    credits: { openingMicro, priceMicro }
  })
}

/** The same of this process's own environment: the only place that reads it. */
export function loadConfigFromProcess(): Config {
  return loadConfig(process.env)
}

/** Converts each variable by its schema; a bad one is reported and replaced by its default, so that all are reported. */
function readValues(env: Record<string, string>, problems: string[]): Environment {
  const entries = Object.entries<TSchema>(environment.properties).map(([name, schema]) => {
    const raw = env[name]
    if (raw === undefined) return [name, schema.default]
    const value = Value.Convert(schema, raw)
    const isListed = !Array.isArray(schema.enum) || schema.enum.includes(raw)
    if (Value.Check(schema, value) && isListed) return [name, value]
    problems.push(`${name} ${requirement(schema)}.`)
    return [name, schema.default]
  })
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined))
}

function requirement(schema: TSchema): string {
  if (Array.isArray(schema.enum)) return `must be one of ${schema.enum.join(', ')}`
  if (schema.type === 'boolean') return 'must be true, false, 1 or 0'
  if (schema.type === 'string') return 'must be text'
  return `must be a ${schema.type === 'integer' ? 'whole ' : ''}number from ${schema.minimum} to ${schema.maximum}`
}

function readUrl(name: string, value: string | undefined, problems: string[]): string | undefined {
  if (value === undefined) return undefined
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (!url || !['http:', 'https:'].includes(url.protocol) || url.search || url.hash || url.username || url.password) {
    problems.push(`${name} must be an http or https URL without credentials, query or fragment.`)
    return undefined
  }
  return value.replace(/\/$/, '').replace(/\/api\/v1$/, '')
}

function checkSecret(secret: string | undefined, isProduction: boolean, problems: string[]): void {
  if (!isProduction) return
  const name = 'JWT_SECRET_KEY'
  if (secret === undefined) problems.push(`${name} is required in production: at least 32 random bytes.`)
  else if (SAMPLE_SECRETS.includes(secret) || SAMPLE_PARTS.some((part) => secret.includes(part)))
    problems.push(`${name} is a published sample; set a secret of your own.`)
  else if (Buffer.byteLength(secret) < 32) problems.push(`${name} must have at least 32 bytes.`)
}

function readTrustProxy(value: string, problems: string[]): false | number | string[] {
  if (/^(false|0)$/i.test(value)) return false
  if (/^\d{1,2}$/.test(value)) return Number(value)
  const list = value.split(',').map((part) => part.trim())
  if (list.every((part) => /^[0-9a-f.:]+(\/\d{1,3})?$/i.test(part) && /[.:]/.test(part))) return list
  problems.push('TRUST_PROXY must be false, a number of hops, or a comma list of addresses and CIDRs.')
  return false
}

function readOrigins(value: string | undefined, isProduction: boolean, problems: string[]): string[] {
  if (value === undefined) return isProduction ? [] : ['*']
  const list = value.split(',').map((part) => part.trim().replace(/\/$/, ''))
  for (const part of list)
    if (part !== '*' && (!URL.canParse(part) || new URL(part).origin !== part.toLowerCase()))
      problems.push('CORS_ORIGINS must be a comma list of origins such as https://chat.example.com.')
  return list
}

function readMicro(name: string, credits: number, problems: string[]): number {
  const micro = Math.round(credits * MICRO)
  if (!Number.isSafeInteger(micro) || Math.abs(micro / MICRO - credits) > 1e-9)
    problems.push(`${name} may have six decimals.`)
  return micro
}

function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) if (typeof member === 'object' && member !== null) deepFreeze(member)
  return Object.freeze(value)
}
