import { existsSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { FERRETDB, findMongo } from './available.ts'
import { buildFerretdb, isStale } from './go-build.ts'
import { framed, missingServers } from './missing.ts'

t.test('a binary is stale when it is absent or something in its folder is newer', async (t) => {
  const folder = t.testdir({ source: { 'main.go': '', 'go.mod': '' }, built: '' })
  const made = { folder: join(folder, 'source'), binary: join(folder, 'built') }
  t.ok(isStale({ ...made, binary: join(folder, 'nothing') }))
  const [early, late] = [new Date(1_000_000), new Date(2_000_000)]
  for (const name of ['main.go', 'go.mod']) utimesSync(join(made.folder, name), early, early)
  utimesSync(made.binary, late, late)
  t.notOk(isStale(made))
  utimesSync(join(made.folder, 'go.mod'), new Date(3_000_000), new Date(3_000_000))
  t.ok(isStale(made))
})

t.test('a build that fails tells what Go said and leaves no file', async (t) => {
  const folder = t.testdir()
  const go = join(folder, 'go')
  writeFileSync(
    go,
    '#!/bin/sh\n[ "$1" = env ] && printf "go1.24.3\\nlinux\\namd64\\n" && exit\necho no disk >&2\nexit 1\n',
    {
      mode: 0o755
    }
  )
  await t.rejects(buildFerretdb(go), { message: /failed:\nno disk$/ })
  t.notOk(existsSync(`${FERRETDB.binary}.${process.pid}`))
})

t.test('an old Go is told to fetch a newer one', async (t) => {
  const folder = t.testdir()
  const go = join(folder, 'go')
  writeFileSync(
    go,
    '#!/bin/sh\n[ "$1" = env ] && printf "go1.19.8\\nlinux\\namd64\\n" && exit\necho "$@" >&2\nexit 1\n',
    {
      mode: 0o755
    }
  )
  await t.rejects(buildFerretdb(go), { message: /mod download -json golang\.org\/toolchain@\S+\.linux-amd64$/ })
})

t.test('what is missing is told with the way to have it', async (t) => {
  const empty = t.testdir()
  const text = missingServers({ PATH: empty }).join('\n')
  t.match(text, /Redis are SKIPPED/)
  t.match(text, 'apt-get install redis-server')
  t.match(text, 'TEST_REDIS_URL=')
  t.match(text, /widget in a browser are SKIPPED/)
  t.match(text, 'apt-get install chromium')
  t.match(missingServers({ PATH: empty, REQUIRE_SERVERS: '1' }).join('\n'), /Redis FAIL/)
  const shared = missingServers({ PATH: empty, TEST_REDIS_URL: 'redis://cache.example' }).join('\n')
  t.match(shared, /Tests that kill or halt a Redis server are SKIPPED/)
  t.notMatch(shared, 'TEST_REDIS_URL=')
})

t.test('with all servers there is nothing to tell', { skip: !findMongo() && 'FerretDB is not built' }, async (t) => {
  const folder = t.testdir()
  for (const name of ['redis-server', 'haproxy', 'chromium'])
    writeFileSync(join(folder, name), '#!/bin/sh\n', { mode: 0o755 })
  t.strictSame(missingServers({ PATH: folder }), [])
})

t.test('the frame is as wide as its lines', async (t) => {
  const widths = framed(['one', 'two lines'])
    .trimEnd()
    .split('\n')
    .map((line) => line.length)
  t.equal(new Set(widths).size, 1)
})
