import { Ajv2020 } from 'ajv/dist/2020.js'
import type { Test } from 'tap'
import { canonicalUrl } from '../../src/canonical-url.ts'
import { readEvents, type TourEvent } from './events.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** A stop of the tour: what is asked, and what must come. */
export interface Stop {
  token?: string
  body?: unknown
  headers?: Record<string, string>
  /** Default 200. */
  status?: number
  /** Of a problem. */
  code?: string
}

export interface Reply {
  status: number
  headers: Headers
  text: string
  /** Members of a JSON reply; none of anything else. */
  json: Record<string, unknown>
  events: TourEvent[]
}

export interface Walker {
  /** Sends a real request, and holds the reply against the document: the status is described, and the body is of its schema. */
  visit(title: string, method: Method, path: string, stop?: Stop): Promise<Reply>
  has(method: Method, path: string): boolean
  /** Operations that nobody has visited yet. */
  unvisited(): string[]
}

interface Operation {
  operationId: string
  responses: Record<string, { content?: Record<string, { schema?: object }> }>
}

interface Document {
  paths: Record<string, Record<string, Operation>>
}

/** Walks a gateway that listens at `baseUrl`, by the document that it serves. */
export async function createWalker(t: Test, baseUrl: string): Promise<Walker> {
  const document = (await (await fetch(`${baseUrl}/openapi.json`)).json()) as Document
  const ajv = new Ajv2020({ strict: false, validateFormats: false })
  ajv.addSchema(document, 'document')
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation }))
  )
  const visited = new Set<string>()

  /** Fixed parts win over parameters, as in a router. */
  function find(method: Method, path: string) {
    const parts =
      canonicalUrl(path)
        .split('?')[0]
        ?.replace(/(.)\/$/, '$1')
        .split('/') ?? []
    const fitting = operations.filter((one) => {
      const wanted = one.path.split('/')
      const isSame = (part: string, index: number) => part === parts[index] || part.startsWith('{')
      return one.method === method.toLowerCase() && wanted.length === parts.length && wanted.every(isSame)
    })
    return fitting.toSorted((a, b) => a.path.split('{').length - b.path.split('{').length)[0]
  }

  /** What the document says of this reply that is not so. */
  function complaint(found: NonNullable<ReturnType<typeof find>>, status: number, type: string, json: unknown) {
    const content = found.operation.responses[status]
    if (!content) return `${status} is not described`
    const schema = (content.content?.[type] ?? content.content?.['*/*'])?.schema
    if (!schema) return `${type} is not described for ${status}`
    if (!type.endsWith('json')) return undefined
    const pointer = ['paths', found.path, found.method, 'responses', status, 'content', type, 'schema']
    const escaped = pointer.map((part) => encodeURIComponent(String(part).replaceAll('~', '~0').replaceAll('/', '~1')))
    return ajv.validate(`document#/${escaped.join('/')}`, json) ? undefined : ajv.errorsText()
  }

  return {
    has: (method, path) => find(method, path) !== undefined,

    unvisited: () => operations.map(({ operation }) => operation.operationId).filter((id) => !visited.has(id)),

    async visit(title, method, path, { token, body, headers = {}, status = 200, code } = {}) {
      const isJson = body !== undefined && !(body instanceof FormData)
      const response = await fetch(baseUrl + path, {
        method,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(isJson ? { 'content-type': 'application/json' } : {}),
          ...headers
        },
        ...(body === undefined ? {} : { body: body instanceof FormData ? body : JSON.stringify(body) })
      })
      const text = await response.text()
      const type = response.headers.get('content-type')?.split(';')[0] ?? ''
      const json: unknown = type.endsWith('json') ? JSON.parse(text) : {}
      const name = `${method} ${path} ${response.status}: ${title}`
      t.equal(response.status, status, response.status === status ? name : `${name}: ${text.slice(0, 300)}`)
      if (code !== undefined) t.match(json, { code }, `${code}: ${title}`)
      const found = find(method, path)
      if (found) visited.add(found.operation.operationId)
      if (found && text !== '') t.equal(complaint(found, response.status, type, json), undefined, 'as described')
      return {
        status: response.status,
        headers: response.headers,
        text,
        json: json as Record<string, unknown>,
        events: type === 'text/event-stream' ? readEvents(text) : []
      }
    }
  }
}
