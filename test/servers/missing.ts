import { findChromium, findGo, findHaproxy, findMongo, findRedis } from './available.ts'

const WIDTH = 110

/** What tests have to do without in this environment, and how to change that; empty if nothing is missing. */
export function missingServers(env = process.env): string[] {
  const fate = env.REQUIRE_SERVERS === '1' ? 'FAIL (REQUIRE_SERVERS=1)' : 'are SKIPPED'
  const ownMongo = findMongo({ ...env, TEST_MONGODB_URL: '' })
  const ownRedis = findRedis({ ...env, TEST_REDIS_URL: '' })
  const lines: string[] = []
  if (ownMongo === undefined) {
    const tests = findMongo(env) ? 'Tests that kill or halt a MongoDB server' : 'Tests on MongoDB'
    const why = findGo(env)
      ? 'FerretDB, which speaks its protocol, could not be built.'
      : 'there is no Go to build FerretDB, which speaks its protocol.'
    lines.push(`${tests} ${fate}: ${why}`)
    lines.push(findGo(env) ? '  node test/servers/build.ts          # says why' : '  apt-get install golang-go')
    if (!findMongo(env)) lines.push('  or TEST_MONGODB_URL=mongodb://localhost:27017 npm test')
  }
  if (ownRedis === undefined) {
    const tests = findRedis(env) ? 'Tests that kill or halt a Redis server' : 'Tests on Redis'
    lines.push(`${tests} ${fate}: there is no redis-server on the PATH.`, '  apt-get install redis-server')
    if (!findRedis(env)) lines.push('  or TEST_REDIS_URL=redis://localhost:6379 npm test')
  }
  if (findHaproxy(env) === undefined)
    lines.push(`Tests of the load balancer ${fate}: there is no HAProxy.`, '  apt-get install haproxy')
  if (findChromium(env) === undefined)
    lines.push(`Tests of the widget in a browser ${fate}: there is no Chromium.`, '  apt-get install chromium')
  return lines
}

/** The lines in a frame that is not overlooked in the output of a test run. */
export function framed(lines: readonly string[]): string {
  const bar = '─'.repeat(WIDTH + 2)
  return [`┌${bar}┐`, ...lines.map((line) => `│ ${line.padEnd(WIDTH)} │`), `└${bar}┘`, ''].join('\n')
}
