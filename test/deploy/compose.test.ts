import t from 'tap'
import { loadConfig } from '../../src/config.ts'
import { environment } from '../../src/environment.ts'
import { type ComposeService, read, readCompose, secondsToEnd } from './manifests.ts'

const compose = readCompose()
const services = Object.entries(compose.services)
const gateways = services.filter(([name]) => name.startsWith('gateway'))
const SECRET = /SECRET_KEY$|PASSWORD$|API_KEY$|TOKEN$|AUTH$|^(MONGODB|REDIS)_URL$/
const VALUES: Record<string, string> = {
  JWT_SECRET_KEY: 'x'.repeat(32),
  ADMIN_PASSWORD: 'a password',
  MONGODB_PASSWORD: 'mongo1',
  REDIS_PASSWORD: 'redis1'
}

/** The environment that a service is started with, for these values in `.env`. */
function environmentOf({ environment = {} }: ComposeService): Record<string, string> {
  const fill = (text: string) => text.replace(/\$\{(\w+)[^}]*\}/g, (_all, name: string) => VALUES[name] ?? '')
  return Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, fill(value)]))
}

t.test('without a profile there is one gateway and Flowise', async (t) => {
  const plain = services.filter(([, { profiles }]) => profiles === undefined).map(([name]) => name)
  t.same(plain, ['gateway', 'flowise'])
  const scale = services.filter(([, { profiles }]) => profiles?.includes('scale')).map(([name]) => name)
  t.same(scale, ['gateway-1', 'gateway-2', 'gateway-3', 'load-balancer', 'mongo', 'redis'])
})

t.test('the image starts the gateway as npm does', async (t) => {
  const line: string = JSON.parse(read('package.json')).scripts.start
  t.match(
    read('Dockerfile'),
    `CMD [${line
      .split(' ')
      .map((word) => JSON.stringify(word))
      .join(', ')}]`
  )
})

t.test('every gateway starts with what it is given', async (t) => {
  t.equal(gateways.length, 4)
  for (const [name, service] of gateways) {
    for (const variable of Object.keys(service.environment ?? {})) t.ok(variable in environment.properties, variable)
    const config = loadConfig(environmentOf(service))
    const isScaled = name !== 'gateway'
    t.equal(config.isProduction, true, name)
    t.equal(config.mongodb !== undefined && config.redisUrl !== undefined, isScaled, 'shares its books')
    t.equal(config.trustProxy, isScaled ? 1 : false)
    t.equal(service.volumes === undefined, isScaled, 'keeps nothing itself')
  }
})

t.test('every gateway gets the time it needs to end', async (t) => {
  for (const [name, service] of gateways) {
    const needed = secondsToEnd(Number(service.environment?.DRAIN_SECONDS))
    t.ok(Number.parseInt(service.stop_grace_period ?? '', 10) > needed, `${name} needs ${needed} s`)
  }
  const { stop_grace_period = '' } = compose.services['load-balancer'] ?? {}
  const hardStop = /hard-stop-after (\d+)s/.exec(read('deploy/load-balancer/haproxy.cfg'))?.[1]
  t.ok(Number.parseInt(stop_grace_period, 10) > Number(hardStop))
})

t.test('nothing is published but the front, and the data is on a network of its own', async (t) => {
  const published = services.filter(([, { ports }]) => ports !== undefined).map(([name]) => name)
  t.same(published, ['gateway', 'load-balancer'])
  t.equal(compose.networks.data?.internal, true)
  for (const name of ['mongo', 'redis']) t.same(compose.services[name]?.networks, ['data'])
  t.same(compose.services.flowise?.networks, ['flowise'])
  t.same(compose.services['load-balancer']?.networks, ['edge'])
})

t.test('images are pinned, secrets are not here', async (t) => {
  for (const [name, { image = '', build }] of services)
    t.ok(build === '.' || /:\d+\.\d+\.\d+(-alpine)?$/.test(image), `${name} ${image}`)
  for (const [name, { environment = {} }] of services)
    for (const [variable, value] of Object.entries(environment))
      if (SECRET.test(variable)) t.match(value, /^([a-z]+:\/\/[a-z]*:)?\$\{[A-Z_]+:/, `${name} ${variable}`)
  t.match(read('compose.yaml'), /\$\{JWT_SECRET_KEY:\?/)
})

t.test('Redis refuses rather than forgets, and needs a password', async (t) => {
  const command = compose.services.redis?.command?.at(-1) ?? ''
  t.match(command, '--maxmemory-policy noeviction')
  t.match(command, '--requirepass "$${REDIS_PASSWORD:?')
})

t.test('what runs has no rights it does not need', async (t) => {
  for (const [name, service] of services.filter(([name]) => name !== 'flowise')) {
    t.same(service.cap_drop, ['ALL'], name)
    t.same(service.security_opt, ['no-new-privileges:true'], name)
    // The image of the gateway has its own.
    t.ok(service.healthcheck !== undefined || service.build !== undefined, name)
  }
})

t.test('the load balancer has more patience than a prediction may need', async (t) => {
  const config = read('deploy/load-balancer/haproxy.cfg')
  const { flowise, pingMs } = loadConfig({})
  for (const name of ['client', 'server', 'tunnel']) {
    const seconds = Number(new RegExp(`timeout ${name} (\\d+)s`).exec(config)?.[1])
    t.ok(seconds * 1000 > flowise.deadlineMs && seconds * 1000 > pingMs, `timeout ${name} ${seconds} s`)
  }
  t.match(config, /^ {4}retry-on conn-failure$/m)
  for (const name of ['gateway-1', 'gateway-2', 'gateway-3'])
    t.equal(config.split(`server ${name} ${name}:8000\n`).length, 3, `${name} in both backends`)
})
