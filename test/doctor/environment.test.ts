import t from 'tap'
import { loadConfig } from '../../src/config.ts'
import { checkEnvironment, environmentProblems } from '../../src/doctor/environment.ts'

const production = {
  NODE_ENV: 'production',
  JWT_SECRET_KEY: 'only-for-tests-only-for-tests-only-for-tests',
  FLOWISE_API_URL: 'http://flowise:3000',
  TRUST_PROXY: '1'
}
const warnings = (env: Record<string, string>) =>
  checkEnvironment(loadConfig(env))
    .filter(({ level }) => level !== 'ok')
    .map(({ text }) => text)

t.test('an environment that is valid may still be one to think about', async (t) => {
  t.strictSame(warnings(production), [])
  const table: [env: Record<string, string>, text: RegExp][] = [
    [{ ...production, NODE_ENV: 'development' }, /^NODE_ENV is not production/],
    [{ ...production, TRUST_PROXY: 'false' }, /^neither TLS here nor a trusted proxy/],
    [{ ...production, CORS_ORIGINS: '*' }, /^CORS_ORIGINS allows every site/],
    [{ ...production, MONGODB_URL: 'mongodb://db' }, /^MONGODB_URL without REDIS_URL/],
    [{ ...production, DATABASE_URL: 'postgres://db' }, /^DATABASE_URL is ignored/]
  ]
  for (const [env, text] of table) {
    const found = warnings(env)
    t.equal(found.length, 1, found.join())
    t.match(found[0], text)
  }
})

t.test('one that is not is told variable by variable', async (t) => {
  t.match(environmentProblems(['PORT must be a number.', 'HOST is missing.']), [
    { area: 'environment', level: 'fail', text: 'PORT must be a number' },
    { area: 'environment', level: 'fail', text: 'HOST is missing' }
  ])
})
