import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { completeDocument } from '../../src/openapi/document.ts'
import { buildTestApp } from '../helper.ts'

interface Content {
  schema?: object & { $ref?: string }
  example?: unknown
}

interface Operation {
  operationId: string
  summary: string
  tags: string[]
  security?: unknown[]
  parameters?: (Content & { name: string; in: string; required?: boolean })[]
  requestBody?: { content: Record<string, Content> }
  responses: Record<string, { description: string; content?: Record<string, Content> }>
}

interface Document {
  tags: { name: string }[]
  components: { schemas: Record<string, object> }
  paths: Record<string, Record<string, Operation>>
}

/** Who has no token yet, and who asks as Flowise's own clients do; everything else needs a bearer. */
const PUBLIC = ['auth.login', 'auth.refresh', 'chatflows.streaming', 'flowise.ping']
const FLOWISES = ['predictions.flowise', 'predictions.abort', 'chatflows.streaming']

const { request } = await buildTestApp(t)
const document: Document = (await request('GET', '/openapi.json')).json()
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, path, operation }))
)

/** Its clients know no problems, and no 422. */
function isOpenAi(path: string): boolean {
  return path.startsWith('/v1/')
}

/** Where Flowise has its API, its clients show what they find in one of these members. */
function isFlowises({ operationId, tags }: Operation): boolean {
  return tags.includes('flowise') || FLOWISES.includes(operationId)
}

/** All places with a schema and maybe an example, each with a name. */
function contentsOf(name: string, { parameters = [], requestBody, responses }: Operation): [string, Content][] {
  return [
    ...parameters.map((parameter): [string, Content] => [`${name} ${parameter.name}`, parameter]),
    ...Object.entries(requestBody?.content ?? {}).map(([type, one]): [string, Content] => [`${name} ${type}`, one]),
    ...Object.entries(responses).flatMap(([status, { content = {} }]) =>
      Object.entries(content).map(([type, one]): [string, Content] => [`${name} ${status} ${type}`, one])
    )
  ]
}

t.test('a public validator finds nothing wrong with the document', async (t) => {
  const { valid, errors } = await new Validator().validate(structuredClone({ ...document }))
  t.ok(valid, JSON.stringify(errors))
})

t.test('the document shows the canonical form of the paths only', async (t) => {
  const service = ['/', '/health', '/ready', '/info', '/metrics', '/openapi.json']
  for (const path of Object.keys(document.paths)) {
    t.ok(service.includes(path) || /^\/(api\/)?v1\//.test(path), path)
    t.notMatch(path, /.\/$/, `${path} has no trailing slash`)
  }
})

t.test('every operation says what it is, who may use it and what it can answer', async (t) => {
  t.ok(operations.length > 40, `${operations.length} operations`)
  const tags = document.tags.map(({ name }) => name)
  const ids = operations.map(({ operation }) => operation.operationId)
  t.equal(new Set(ids).size, ids.length, 'operationIds are unique')
  for (const { name, path, operation } of operations) {
    t.match(operation, { operationId: /^[a-z]+(\.[a-zA-Z-]+)+$/, summary: /^[A-Z"].{5,}[^.]$/s }, name)
    t.equal(operation.tags.length, 1, `${name} has one tag`)
    t.ok(tags.includes(operation.tags[0] ?? ''), `${name}: the tag is described`)
    const statuses = Object.keys(operation.responses).map(Number)
    t.ok(
      statuses.some((status) => status < 300),
      `${name} can succeed`
    )
    const needs = new Set<number>()
    if (operation.security) needs.add(401)
    if (path.startsWith('/api/v1/admin/')) needs.add(403)
    if (operation.security && path.includes('{')) needs.add(404)
    if (operation.parameters?.some((one) => one.in === 'query')) needs.add(422)
    if (operation.requestBody) for (const status of [400, 413, 415, 422]) needs.add(status)
    if (isOpenAi(path)) needs.delete(422)
    const lacking = [...needs].filter((status) => !statuses.includes(status))
    t.strictSame(lacking, [], `${name} lacks error replies`)
    const isPublic = operation.tags.includes('service') || PUBLIC.includes(operation.operationId)
    t.equal(operation.security === undefined, isPublic, `${name} is ${isPublic ? '' : 'not '}public`)
  }
})

t.test('errors are problems, with their codes, or what OpenAI and Flowise have instead', async (t) => {
  for (const { name, path, operation } of operations)
    for (const [status, { description, content }] of Object.entries(operation.responses)) {
      if (Number(status) < 400 || (operation.operationId === 'service.ready' && status === '503')) continue
      t.match(description, /^[a-z_]+(, [a-z_]+)*$/, `${name} ${status}`)
      const problem = { 'application/problem+json': { example: { status: Number(status), code: String } } }
      const error = { 'application/json': { example: { error: { message: String, type: String, code: String } } } }
      const flowises = { 'application/json': { example: { message: String, error: String, code: String } } }
      t.match(content, isOpenAi(path) ? error : isFlowises(operation) ? flowises : problem, name)
    }
})

t.test('there is an example of everything, and each fits its schema', async (t) => {
  t.strictSame(
    completeDocument(structuredClone(document.paths), () => ({ description: '', example: () => ({}) })),
    []
  )
  const ajv = new Ajv2020({ strict: false, validateFormats: false })
  let checked = 0
  for (const { name, operation } of operations)
    for (const [place, { schema = {}, example }] of contentsOf(name, operation)) {
      if (example === undefined) continue
      checked++
      const referred = document.components.schemas[schema.$ref?.split('/').at(-1) ?? '']
      const complete = schema.$ref ? { ...referred } : schema
      t.ok(ajv.validate(complete, example), `${place}: ${ajv.errorsText()}`)
    }
  t.ok(checked > 300, `${checked} examples`)
})

t.test('bodies drop what they do not name', async (t) => {
  for (const { name, operation } of operations)
    for (const { schema } of Object.values(operation.requestBody?.content ?? {}))
      t.match(JSON.stringify(schema), /"additionalProperties":false/, name)
})

t.test('the page shows the document, from files of our own', async (t) => {
  const page = await request('GET', '/docs/')
  t.match(page.headers, { 'content-type': /^text\/html/, 'content-security-policy': /script-src 'self';/ })
  t.equal((await request('GET', '/docs')).statusCode, 200, 'without the slash as well')
  const assets = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url = '']) => url)
  t.ok(assets.length > 3)
  for (const url of assets) {
    t.match(url, /^(\.|\/docs)/, 'no foreign host')
    const file = await request('GET', new URL(url, 'http://gateway/docs/').pathname)
    t.equal(file.statusCode, 200, url)
  }
  const start = await request('GET', '/docs/static/swagger-initializer.js')
  t.match(start.body, /docs\/json|\.\/json/)
  t.equal((await request('GET', '/docs/json')).json().openapi, '3.1.0')
})
