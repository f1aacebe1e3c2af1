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
  MONGODB_URL: Type.Optional(text('MongoDB to keep everything in; unset: the embedded store in DATA_DIR')),
  MONGODB_DATABASE_NAME: text('its database', 'flowise_proxy'),
  REDIS_URL: Type.Optional(
    text('Redis that processes of one installation share: rate limits, session leases, messages. Unset: one process')
  ),
  TLS_CERT_FILE: Type.Optional(
    text('certificate chain in PEM: serves HTTPS with HTTP/2 and HTTP/1.1; read again when it changes')
  ),
  TLS_KEY_FILE: Type.Optional(text('its private key in PEM')),
  DEBUG: flag('log level debug, nothing else', false),
  LOG_LEVEL: choice('least severe level that is logged', 'info', 'fatal', 'error', 'warn', 'debug', 'trace', 'silent'),
  TRUST_PROXY: text('number of hops, or comma list of CIDRs, whose forwarding headers are believed', 'false'),
  CORS_ORIGINS: Type.Optional(
    text('comma list of origins (alias CORS_ORIGIN). Unset: none in production, any without credentials in development')
  ),
  PUBLIC_BASE_URL: Type.Optional(
    text('in front of the paths of files, as clients reach the gateway; unset: paths alone')
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
  AUTH_MODE: Type.Optional(
    Type.String({
      description:
        '`local`: users are kept here; `external`: a service is asked. Unset: external with EXTERNAL_AUTH_URL',
      enum: ['local', 'external']
    })
  ),
  EXTERNAL_AUTH_URL: Type.Optional(text('base URL of the auth service')),
  AUTH_TIMEOUT_MS: whole('longest time for each call to it, and to AUTH_JWKS_URL', 10_000, 1, 300_000),
  JWT_ACCESS_SECRET: Type.Optional(
    text('secret shared with the external auth and accounting services; unset: JWT_SECRET_KEY')
  ),
  AUTH_JWKS_URL: Type.Optional(text('key set of another issuer whose tokens are accepted too: RS256, ES256, EdDSA')),
  AUTH_ISSUER: Type.Optional(text('`iss` of those tokens; required with AUTH_JWKS_URL')),
  AUTH_AUDIENCE: Type.Optional(text('what their `aud` must contain; required with AUTH_JWKS_URL')),
  AUTH_ROLE_CLAIM: text('claim that holds their role; dots go into objects', 'role'),
  LOGIN_FAILURE_LIMIT: whole(
    'failed logins per 15 minutes, per address and username; ten times that per address; 0 = off',
    20,
    0,
    1_000_000
  ),
  ADMIN_USERNAME: text('first administrator, made only while there is none', 'admin'),
  ADMIN_PASSWORD: Type.Optional(text('its password, 8 characters to 72 bytes; unset: a random one is printed once')),
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
  RESUME_SECONDS: Type.Number({
    description:
      'how long a stream of /chat/predict goes on without a client that could come back; 0: leaving stops it',
    default: 30,
    minimum: 0,
    maximum: 600
  }),
  RESUME_BUFFER_MB: whole(
    'room for what clients that come back are sent again, for all streams together',
    64,
    1,
    65_536
  ),
  DRAIN_SECONDS: Type.Number({
    description: 'time that running predictions get at shutdown',
    default: 30,
    minimum: 0,
    maximum: 86_400
  }),
  MAX_BODY_MB: Type.Number({ description: 'largest body of a prediction', default: 20, minimum: 0.001, maximum: 1024 }),
  MAX_FILE_MB: Type.Number({
    description: 'largest file',
    default: 10,
    minimum: 0.001,
    maximum: 1024
  }),
  MAX_UPLOADS: whole('most files of one prediction', 5, 0, 100),
  USER_FILES_MB: Type.Number({
    description: 'all files of a user together',
    default: 500,
    minimum: 0,
    maximum: 1_048_576
  }),
  MAX_ANSWER_MB: Type.Number({ description: 'largest answer of Flowise', default: 20, minimum: 0.001, maximum: 1024 }),
  RATE_LIMIT_PER_MINUTE: whole('predictions a user may start per minute; 0 = off', 600, 0, 1_000_000),
  MAX_CONCURRENT_PER_USER: whole('predictions of a user that may run at once', 50, 1, 10_000),
  DEFAULT_CREDITS: amount('credits granted to each new account', 0),
  DEFAULT_CHATFLOW_PRICE: amount('credits per prediction where the chatflow has no price of its own', 1),
  ACCOUNTING_SERVICE_URL: Type.Optional(
    text('base URL of the accounting service, which then keeps the balances; unset: the ledger of the gateway')
  ),
  ACCOUNTING_API: choice('its form: `seed`: /credits/{user_id}; `v1`: /api/credits', 'seed', 'v1'),
  ACCOUNTING_TIMEOUT_MS: whole('longest time for each call to it', 10_000, 1, 300_000)
})

export type Environment = Static<typeof environment>

/** Whole or decimal, as people write numbers; not the other notations of the language. */
const NUMBER = /^-?\d+(\.\d+)?(e-?\d+)?$/i
const FLAGS = new Map([
  ['true', true],
  ['1', true],
  ['false', false],
  ['0', false]
])

/**
 * Converts each variable by its schema. A bad one becomes a sentence in `problems` and is replaced by its default, so
 * that all are reported.
 */
export function readEnvironment(env: Record<string, string>, problems: string[]): Environment {
  const entries = Object.entries<TSchema>(environment.properties).map(([name, schema]) => {
    const raw = env[name]
    if (raw === undefined) return [name, schema.default]
    const value = convert(schema, raw)
    const isListed = !Array.isArray(schema.enum) || schema.enum.includes(raw)
    if (Value.Check(schema, value) && isListed) return [name, value]
    problems.push(`${name} ${requirement(schema)}.`)
    return [name, schema.default]
  })
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined))
}

/** Undefined for a text that does not stand for a value of this type. */
function convert({ type }: TSchema, raw: string): string | number | boolean | undefined {
  if (type === 'boolean') return FLAGS.get(raw.toLowerCase())
  if (type === 'string') return raw
  return NUMBER.test(raw) ? Number(raw) : undefined
}

function requirement(schema: TSchema): string {
  if (Array.isArray(schema.enum)) return `must be one of ${schema.enum.join(', ')}`
  if (schema.type === 'boolean') return 'must be true, false, 1 or 0'
  return `must be a ${schema.type === 'integer' ? 'whole ' : ''}number from ${schema.minimum} to ${schema.maximum}`
}
