import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { coverageDocument, type Documented } from '../../src/openapi/coverage.ts'
import { callsOf, isCallOf } from '../../src/openapi/test-calls.ts'
import { buildTestApp } from '../helper.ts'
import { ROOT } from './sources.ts'

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const documented: Documented = JSON.parse(read('test/gates/documented-endpoints.json'))

t.test('every endpoint that was documented, and every route there is, has a test; the table says which', async (t) => {
  const { app } = await buildTestApp(t)
  const tests = globSync('test/**/*.test.ts', { cwd: ROOT })
    .toSorted()
    .map((path) => ({ path, text: read(path) }))
  t.ok(tests.length > 80)
  const { text, gaps } = coverageDocument({ paths: { ...app.swagger().paths }, tests, documented })
  t.strictSame(gaps, [])
  t.equal(read('docs/api-coverage.md'), text, 'npm run snap rewrites it')
  t.notMatch(text, /\| *\|/, 'no cell is empty')
})

const source = `
const USERS = '/admin/users'
const setUp = () => ({
  patch: (id: string) => request('PATCH', \`\${USERS}/\${id}\`),
  list: () =>
    request('GET', \`\${USERS}?limit=2\`)
})
t.test('it\\'s read', async (t) => {
  await request('POST', '/chat/predict/', {})
  await patch('x')
})
t.test("nothing of the first", async (t) => {
  await list()
  await request('POST', \`\${url}/api/v1/admin/users/\${id}/credits/\${action}\`)
})
`

t.test('the requests of a test are read from its text', async (t) => {
  t.strictSame(callsOf({ path: 'a.test.ts', text: source }), [
    {
      file: 'a.test.ts',
      title: "it's read",
      calls: [
        { method: 'POST', url: '/api/v1/chat/predict' },
        { method: 'PATCH', url: '/api/v1/admin/users/*' }
      ]
    },
    {
      file: 'a.test.ts',
      title: 'nothing of the first',
      calls: [
        { method: 'POST', url: '/api/v1/admin/users/*/credits/*' },
        { method: 'GET', url: '/api/v1/admin/users' }
      ]
    }
  ])
})

t.test('a part that is known at run time stands for a parameter, and loosely for a fixed part', async (t) => {
  const set = { method: 'POST', path: '/api/v1/admin/users/{id}/credits/set' }
  const call = { method: 'POST', url: '/api/v1/admin/users/*/credits/*' }
  t.equal(isCallOf(call, set), false)
  t.equal(isCallOf(call, set, true), true)
  t.equal(isCallOf({ ...call, url: '/api/v1/admin/users/7/credits/set' }, set), true)
  t.equal(isCallOf({ ...call, method: 'PUT' }, set, true), false)
  t.equal(isCallOf({ ...call, url: '/api/v1/admin/users/*/credits' }, set, true), false)
})

t.test('what is not proven is named', async (t) => {
  const paths = { '/chat/predict': { post: { operationId: 'a' } }, '/lonely': { get: { operationId: 'b' } } }
  const tests = [
    { path: 'test/x.test.ts', text: "t.test('asks', async () => {\n  request('POST', '/chat/predict')\n})\n" }
  ]
  const { gaps } = coverageDocument({
    paths,
    tests,
    documented: {
      endpoints: [
        { document: 'd', endpoint: 'GET /gone' },
        { document: 'd', endpoint: 'GET /never', reason: 'nobody used it' },
        { document: 'd', endpoint: 'GET /lost', operation: 'lost' }
      ],
      proofs: { a: ['test/x.test.ts: answers'], c: [] }
    }
  })
  t.strictSame(gaps, [
    'b has no test',
    'a: there is no test "test/x.test.ts: answers"',
    'c is no operation',
    'GET /gone has neither operation nor reason',
    'GET /lost: lost is no operation'
  ])
})
