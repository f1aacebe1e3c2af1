import t from 'tap'
import { ConfigError, loadConfig } from '../src/config.ts'
import { environment } from '../src/environment.ts'

const production = { NODE_ENV: 'production', FLOWISE_API_URL: 'http://flowise', JWT_SECRET_KEY: 's'.repeat(32) }

/** The problems of an environment; none when it is accepted. */
function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    loadConfig(env)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

t.test('nothing set, or set to nothing, is the documented default', async (t) => {
  const unset = loadConfig({})
  t.match(unset, { port: 8000, host: '0.0.0.0', logLevel: 'info', loginFailureLimit: 20, corsOrigins: ['*'] })
  t.match(unset.credits, { openingMicro: 0, priceMicro: 1_000_000 })
  const empty = Object.keys(environment.properties).map((name) => [name, name.includes('MAX') ? '  ' : ''])
  t.strictSame(loadConfig(Object.fromEntries(empty)), unset)
})

t.test('a number is written as a number', async (t) => {
  for (const [name, schema] of Object.entries(environment.properties)) {
    const words = ['true', 'false', 'abc', '5abc', '1,5', '0x10', '1_000', 'NaN', 'Infinity', '1e400', '[]', '-1']
    if (schema.type === 'number' || schema.type === 'integer')
      for (const word of words) t.match(problemsOf({ [name]: word }), [new RegExp(`^${name} `)], `${name}=${word}`)
    if (schema.type === 'integer') t.match(problemsOf({ [name]: '1.5' }), [new RegExp(`^${name} `)], `${name}=1.5`)
  }
  t.equal(loadConfig({ PORT: ' 8080 ' }).port, 8080)
  t.equal(loadConfig({ DRAIN_SECONDS: '0.5' }).drainMs, 500)
})

t.test('a switch is true, false, 1 or 0', async (t) => {
  for (const word of ['true', '1', 'TRUE'])
    t.equal(loadConfig({ ENABLE_CHATFLOW_SYNC: word }).flowise.isSyncEnabled, true)
  for (const word of ['false', '0', 'False'])
    t.equal(loadConfig({ ENABLE_CHATFLOW_SYNC: word }).flowise.isSyncEnabled, false)
  for (const word of ['yes', 'on', '2', '1.0', '-1'])
    t.match(problemsOf({ ENABLE_CHATFLOW_SYNC: word }), [/^ENABLE_CHATFLOW_SYNC /], word)
})

t.test('DEBUG means debug, whatever LOG_LEVEL says', async (t) => {
  t.equal(loadConfig({ DEBUG: 'true', LOG_LEVEL: 'warn' }).logLevel, 'debug')
  t.equal(loadConfig({ DEBUG: 'false', LOG_LEVEL: 'warn' }).logLevel, 'warn')
})

t.test('trusted proxies are hops, addresses or ranges', async (t) => {
  const good = {
    false: false,
    '0': false,
    '2': 2,
    '127.0.0.1': ['127.0.0.1'],
    'fc00::/7, 10.0.0.0/8': ['fc00::/7', '10.0.0.0/8']
  }
  for (const [word, value] of Object.entries(good))
    t.strictSame(loadConfig({ TRUST_PROXY: word }).trustProxy, value, word)
  const bad = [
    'true',
    '-1',
    '1.5',
    '1.2.3',
    '...',
    ':',
    '999.1.1.1',
    '10.0.0.0/33',
    '::1/129',
    '0.0.0.0/0',
    '10.0.0.0/8,x'
  ]
  for (const word of bad) t.match(problemsOf({ TRUST_PROXY: word }), [/^TRUST_PROXY /], word)
})

t.test('amounts have at most six decimals', async (t) => {
  t.equal(loadConfig({ DEFAULT_CREDITS: '0.3' }).credits.openingMicro, 300_000)
  t.equal(loadConfig({ DEFAULT_CHATFLOW_PRICE: '0.000001' }).credits.priceMicro, 1)
  for (const word of ['0.0000001', '1e-9', '0.30000000000000004'])
    t.match(problemsOf({ DEFAULT_CREDITS: word }), [/^DEFAULT_CREDITS /], word)
})

t.test('the first administrator follows the rules of all users', async (t) => {
  for (const ADMIN_PASSWORD of ['seven77', '€'.repeat(25)])
    t.match(problemsOf({ ADMIN_PASSWORD }), [/^ADMIN_PASSWORD must/])
  for (const ADMIN_USERNAME of ['ab', 'a b c']) t.match(problemsOf({ ADMIN_USERNAME }), [/^ADMIN_USERNAME must/])
  for (const ADMIN_EMAIL of ['nobody', '@']) t.match(problemsOf({ ADMIN_EMAIL }), [/^ADMIN_EMAIL must/])
  t.strictSame(loadConfig({ ADMIN_EMAIL: 'Root@Example.COM', ADMIN_PASSWORD: 'eight888' }).admin, {
    username: 'admin',
    password: 'eight888',
    email: 'root@example.com'
  })
})

t.test('in production a secret is long and nobody else’s', async (t) => {
  t.strictSame(problemsOf(production), [])
  t.match(problemsOf({ NODE_ENV: 'production' }), [/^JWT_SECRET_KEY /, /^FLOWISE_API_URL /])
  const samples = ['your-secret', 'your-super-secret-jwt-key-here', `${'x'.repeat(32)}_CHANGE_THIS_IN_PRODUCTION`]
  for (const name of ['JWT_SECRET_KEY', 'JWT_ACCESS_SECRET'])
    for (const secret of [...samples, 's'.repeat(31)])
      t.match(problemsOf({ ...production, [name]: secret }), [new RegExp(`^${name} `)], `${name}=${secret}`)
  t.strictSame(problemsOf({ JWT_SECRET_KEY: 'short' }), [], 'development takes what it is given')
})

t.test('an explicit AUTH_MODE wins over the URL', async (t) => {
  const EXTERNAL_AUTH_URL = 'http://auth:8001/api/'
  const read = (env: Record<string, string>) => {
    const { mode, serviceUrl } = loadConfig(env).auth
    return [mode, serviceUrl]
  }
  t.strictSame(read({}), ['local', undefined])
  t.strictSame(read({ EXTERNAL_AUTH_URL }), ['external', 'http://auth:8001'])
  t.strictSame(read({ AUTH_MODE: 'external', EXTERNAL_AUTH_URL: 'http://auth/x' }), ['external', 'http://auth/x'])
  t.strictSame(read({ AUTH_MODE: 'local', EXTERNAL_AUTH_URL }), ['local', undefined])
  t.match(problemsOf({ AUTH_MODE: 'external' }), [/^EXTERNAL_AUTH_URL /])
  t.match(problemsOf({ AUTH_MODE: 'Local' }), [/^AUTH_MODE must be one of local, external/])
  t.match(problemsOf({ EXTERNAL_AUTH_URL: 'ftp://auth' }), [/^EXTERNAL_AUTH_URL /])
  t.match(problemsOf({ EXTERNAL_AUTH_URL, JWT_ALGORITHM: 'HS512' }), [/^JWT_ALGORITHM /])
})

t.test('a key set needs an issuer and an audience', async (t) => {
  const AUTH_JWKS_URL = 'https://id.example.com/keys'
  const names = { AUTH_ISSUER: 'https://id.example.com', AUTH_AUDIENCE: 'gateway' }
  t.match(problemsOf({ AUTH_JWKS_URL }), [/^AUTH_ISSUER /, /^AUTH_AUDIENCE /])
  t.match(problemsOf({ ...names }), [/^AUTH_ISSUER needs/, /^AUTH_AUDIENCE needs/])
  t.match(problemsOf({ ...names, AUTH_JWKS_URL: 'file:///keys' }), [/^AUTH_JWKS_URL /])
  const { jwks } = loadConfig({ ...names, AUTH_JWKS_URL }).auth
  t.strictSame(jwks, {
    url: AUTH_JWKS_URL,
    issuer: 'https://id.example.com',
    audience: 'gateway',
    roleClaim: 'role'
  })
})

t.test('a PostgreSQL address is a warning without the address', async (t) => {
  t.strictSame(loadConfig({}).warnings, [])
  const { warnings } = loadConfig({ DATABASE_URL: 'postgres://user:secret@host/db' })
  t.equal(warnings.length, 1)
  t.match(warnings[0], /^DATABASE_URL /)
  t.notMatch(warnings[0], /secret/)
})

t.test('a database in MONGODB_URL that is not used gets a warning', async (t) => {
  const JWT_SECRET_KEY = 'x'.repeat(40)
  const warningsFor = (url: string, more = {}) => loadConfig({ JWT_SECRET_KEY, MONGODB_URL: url, ...more }).warnings
  t.match(warningsFor('mongodb://user:pass@host/mine?w=1'), [/^MONGODB_URL names a database that is not used/])
  t.match(warningsFor('mongodb+srv://host/mine'), [/^MONGODB_URL /])
  t.strictSame(warningsFor('mongodb://host/mine', { MONGODB_DATABASE_NAME: 'mine' }), [])
  for (const path of ['', '/', '/admin', '/?authSource=a/b', '/flowise_proxy'])
    t.strictSame(warningsFor(`mongodb://host${path}`), [], path)
})

t.test('an auth service whose tokens cannot be verified is a warning', async (t) => {
  const EXTERNAL_AUTH_URL = 'http://auth'
  t.match(loadConfig({ EXTERNAL_AUTH_URL }).warnings, [/^JWT_ACCESS_SECRET is unset/])
  for (const name of ['JWT_ACCESS_SECRET', 'JWT_SECRET_KEY'])
    t.strictSame(loadConfig({ EXTERNAL_AUTH_URL, [name]: 'x'.repeat(40) }).warnings, [])
})

t.test('all problems are told at once', async (t) => {
  const wrong = { PORT: 'x', LOG_LEVEL: 'loud', ADMIN_PASSWORD: 'short', CORS_ORIGINS: 'x', FLOWISE_API_URL: 'ftp://x' }
  const told = problemsOf(wrong)
  for (const name of Object.keys(wrong))
    t.ok(
      told.some((problem) => problem.startsWith(`${name} `)),
      name
    )
})
