import { existsSync } from 'node:fs'
import { isIP } from 'node:net'
import { checkPassword } from './auth/passwords.ts'
import { checkEmail, checkUsername, normalEmail } from './auth/user-names.ts'
import { type AccountingConfig, readAccounting } from './config/accounting.ts'
import { type AuthConfig, readAuth } from './config/auth.ts'
import { readBaseUrl } from './config/url.ts'
import { toMicro } from './credits/pricing.ts'
import { type Environment, readEnvironment } from './environment.ts'
import { AppError } from './errors.ts'

export interface Config {
  readonly isProduction: boolean
  readonly host: string
  readonly port: number
  readonly dataDir: string
  /** Undefined: the embedded store in dataDir. */
  readonly mongodb: { readonly url: string; readonly database: string } | undefined
  /** Undefined: nothing is shared with other processes. */
  readonly redisUrl: string | undefined
  /** Undefined: plain HTTP/1.1. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined
  readonly logLevel: string
  readonly trustProxy: false | number | string[]
  readonly corsOrigins: readonly string[]
  /** In front of the paths of files; undefined: paths alone. */
  readonly publicBaseUrl: string | undefined
  readonly metricsToken: string | undefined
  readonly jwt: {
    /** Undefined in development until a generated one has been read. */
    readonly secret: string | undefined
    readonly algorithm: 'HS256' | 'HS384' | 'HS512'
    readonly accessTtlMs: number
    readonly refreshTtlMs: number
  }
  readonly auth: AuthConfig
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
  readonly resume: { readonly continueMs: number; readonly bufferBytes: number }
  readonly limits: {
    readonly bodyBytes: number
    readonly fileBytes: number
    readonly uploads: number
    /** Of all files of a user together. */
    readonly userFilesBytes: number
    readonly predictionsPerMinute: number
    readonly concurrentPerUser: number
  }
  readonly credits: { readonly openingMicro: number; readonly priceMicro: number }
  /** Undefined: the balances are kept here. */
  readonly accounting: AccountingConfig | undefined
  /** Sentences for the log at start. */
  readonly warnings: readonly string[]
}

/** Everything that is wrong with the environment, one sentence each; serve.ts prints them and stops. */
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
const DATABASE_NAME = /^[A-Za-z0-9_-]{1,63}$/
const MEBIBYTE = 1024 * 1024

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
  const values = readEnvironment(env, problems)
  const isProduction = values.NODE_ENV === 'production'
  const flowiseUrl = readBaseUrl('FLOWISE_API_URL', values.FLOWISE_API_URL, { ending: /\/api\/v1$/, problems })
  const auth = readAuth(values, problems)
  const publicBaseUrl = readBaseUrl('PUBLIC_BASE_URL', values.PUBLIC_BASE_URL, { ending: /(?!)/, problems })
  if (isProduction) {
    if (env.JWT_SECRET_KEY === undefined)
      problems.push('JWT_SECRET_KEY is required in production: at least 32 random bytes.')
    for (const name of ['JWT_SECRET_KEY', 'JWT_ACCESS_SECRET']) checkSecret(name, env[name], problems)
    if (env.FLOWISE_API_URL === undefined)
      problems.push('FLOWISE_API_URL is required in production: the base URL of Flowise.')
  }
  const admin = readAdmin(values, problems)
  const trustProxy = readTrustProxy(values.TRUST_PROXY, problems)
  const mongodb = readMongodb(values, problems)
  checkScheme('REDIS_URL', values.REDIS_URL, ['redis:', 'rediss:'], problems)
  const tls = readTls(values, problems)
  const corsOrigins = readOrigins(values.CORS_ORIGINS, isProduction, problems)
  const openingMicro = readMicro('DEFAULT_CREDITS', values.DEFAULT_CREDITS, problems)
  const priceMicro = readMicro('DEFAULT_CHATFLOW_PRICE', values.DEFAULT_CHATFLOW_PRICE, problems)
  const accounting = readAccounting(values, problems)
  if (problems.length > 0) throw new ConfigError(problems)

  return deepFreeze({
    isProduction,
    host: values.HOST,
    port: values.PORT,
    dataDir: values.DATA_DIR,
    mongodb,
    redisUrl: values.REDIS_URL,
    tls,
    logLevel: values.DEBUG ? 'debug' : values.LOG_LEVEL,
    trustProxy,
    corsOrigins,
    publicBaseUrl,
    metricsToken: values.METRICS_TOKEN,
    jwt: {
      secret: values.JWT_SECRET_KEY,
      algorithm: values.JWT_ALGORITHM as Config['jwt']['algorithm'],
      accessTtlMs: values.JWT_EXPIRATION_HOURS * 3_600_000,
      refreshTtlMs: values.REFRESH_TOKEN_DAYS * 86_400_000
    },
    auth,
    loginFailureLimit: values.LOGIN_FAILURE_LIMIT,
    admin,
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
    resume: { continueMs: values.RESUME_SECONDS * 1000, bufferBytes: values.RESUME_BUFFER_MB * MEBIBYTE },
    limits: {
      bodyBytes: Math.floor(values.MAX_BODY_MB * MEBIBYTE),
      fileBytes: Math.floor(values.MAX_FILE_MB * MEBIBYTE),
      uploads: values.MAX_UPLOADS,
      userFilesBytes: Math.floor(values.USER_FILES_MB * MEBIBYTE),
      predictionsPerMinute: values.RATE_LIMIT_PER_MINUTE,
      concurrentPerUser: values.MAX_CONCURRENT_PER_USER
    },
    credits: { openingMicro, priceMicro },
    accounting,
    warnings: warningsOf(env, auth)
  })
}

function warningsOf(env: Record<string, string>, { mode }: AuthConfig): string[] {
  const isSecretless = env.JWT_ACCESS_SECRET === undefined && env.JWT_SECRET_KEY === undefined
  const isShared = env.MONGODB_URL !== undefined && env.JWT_SECRET_KEY === undefined
  return [
    ...(env.DATABASE_URL === undefined ? [] : ['DATABASE_URL is ignored: PostgreSQL is not supported.']),
    ...(isShared
      ? ['JWT_SECRET_KEY is unset: every DATA_DIR generates its own, and other processes refuse its tokens.']
      : []),
    ...(namesOtherDatabase(env)
      ? [
          'MONGODB_URL names a database that is not used: MONGODB_DATABASE_NAME says which one, by default flowise_proxy.'
        ]
      : []),
    ...(mode === 'external' && isSecretless
      ? ['JWT_ACCESS_SECRET is unset: the tokens of the auth service are refused, and nobody can log in.']
      : [])
  ]
}

/** The same of this process's own environment and, where it says nothing, of `.env` in the working directory. */
export function loadConfigFromProcess(): Config {
  if (existsSync('.env')) process.loadEnvFile('.env')
  return loadConfig(process.env)
}

/** The path of the URL is where its user logs in; whoever names nothing else may have meant more by it. */
function namesOtherDatabase({
  MONGODB_URL: url = '',
  MONGODB_DATABASE_NAME: database
}: Record<string, string>): boolean {
  const path = /^[^:]*:\/\/[^/?]*\/([^/?]+)/.exec(url)?.[1]
  return database === undefined && path !== undefined && path !== 'admin' && path !== 'flowise_proxy'
}

/** The address itself is the driver's to read; a wrong scheme is told before anything is tried, and without the password. */
function checkScheme(name: string, value: string | undefined, schemes: string[], problems: string[]): void {
  if (value !== undefined && !schemes.some((scheme) => value.startsWith(`${scheme}//`)))
    problems.push(`${name} must start with ${schemes.map((scheme) => `${scheme}//`).join(' or ')}.`)
}

function readMongodb(values: Environment, problems: string[]): Config['mongodb'] {
  const { MONGODB_URL: url, MONGODB_DATABASE_NAME: database } = values
  checkScheme('MONGODB_URL', url, ['mongodb:', 'mongodb+srv:'], problems)
  if (!DATABASE_NAME.test(database))
    problems.push('MONGODB_DATABASE_NAME must be 1 to 63 letters, digits, dashes and underscores.')
  return url === undefined ? undefined : { url, database }
}

function readTls(values: Environment, problems: string[]): Config['tls'] {
  const { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile } = values
  if (certFile !== undefined && keyFile !== undefined) return { certFile, keyFile }
  if (certFile !== keyFile) problems.push('TLS_CERT_FILE and TLS_KEY_FILE belong together: set both or neither.')
  return undefined
}

function checkSecret(name: string, secret: string | undefined, problems: string[]): void {
  if (secret === undefined) return
  const word = secret.toLowerCase()
  if (SAMPLE_SECRETS.includes(word) || SAMPLE_PARTS.some((part) => word.includes(part)))
    problems.push(`${name} is a published sample; set a secret of your own.`)
  else if (Buffer.byteLength(secret) < 32) problems.push(`${name} must have at least 32 bytes.`)
}

/** By the rules of every other user, at each start: a value that would only be found wrong one day is wrong now. */
function readAdmin(values: Environment, problems: string[]): Config['admin'] {
  const { ADMIN_USERNAME: username, ADMIN_PASSWORD: password } = values
  const email = normalEmail(values.ADMIN_EMAIL)
  const rules: Record<string, () => void> = {
    ADMIN_USERNAME: () => checkUsername(username),
    ADMIN_EMAIL: () => checkEmail(email),
    ADMIN_PASSWORD: () => password === undefined || checkPassword(password)
  }
  for (const [name, check] of Object.entries(rules)) {
    try {
      check()
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      problems.push(`${name} ${error.params.errors?.[0]?.msg}.`)
    }
  }
  return { username, password, email }
}

function readTrustProxy(value: string, problems: string[]): false | number | string[] {
  if (/^(false|0)$/i.test(value)) return false
  if (/^\d{1,2}$/.test(value)) return Number(value)
  const list = value.split(',').map((part) => part.trim())
  if (list.every(isAddressRange)) return list
  problems.push('TRUST_PROXY must be false, a number of hops, or a comma list of addresses and CIDRs.')
  return false
}

function isAddressRange(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || address.includes('%') || rest.length > 0) return false
  return bits === undefined || (/^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
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
  try {
    return toMicro(credits)
  } catch {
    problems.push(`${name} may have at most six decimals.`)
    return 0
  }
}

function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) if (typeof member === 'object' && member !== null) deepFreeze(member)
  return Object.freeze(value)
}
