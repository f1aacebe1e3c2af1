/** One operation of the OpenAPI document, as far as the hostile tests need it. */
export interface Operation {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** `/api/v1/chatflows/{id}` */
  path: string
  isPublic: boolean
  statuses: number[]
  query: string[]
  /** Members of the JSON body with their schemas; undefined without a body. */
  body: Record<string, MemberSchema> | undefined
}

export interface MemberSchema {
  type?: string
  enum?: unknown[]
  anyOf?: MemberSchema[]
  minimum?: number
}

interface DocumentOperation {
  security?: unknown[]
  responses: Record<string, unknown>
  parameters?: { name: string; in: string }[]
  requestBody?: { content: Record<string, { schema?: { properties?: Record<string, MemberSchema> } }> }
}

const METHODS = { get: 'GET', post: 'POST', put: 'PUT', patch: 'PATCH', delete: 'DELETE' } as const

/** Every operation that a document describes. */
export function operationsOf(document: { paths: Record<string, Record<string, DocumentOperation>> }): Operation[] {
  return Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(METHODS).flatMap(([name, method]): Operation[] => {
      const operation = operations[name]
      if (!operation) return []
      return [
        {
          method,
          path,
          isPublic: operation.security === undefined,
          statuses: Object.keys(operation.responses).map(Number),
          query: (operation.parameters ?? []).filter((one) => one.in === 'query').map((one) => one.name),
          body: operation.requestBody?.content['application/json']?.schema?.properties
        }
      ]
    })
  )
}

/** A value that fits, so that one hostile member is the only thing wrong. */
export function plausible(name: string, schema: MemberSchema, known: Record<string, unknown>): unknown {
  if (name in known) return known[name]
  if (schema.enum) return schema.enum[0]
  if (schema.anyOf?.[0]) return plausible(name, schema.anyOf[0], known)
  if (schema.type === 'string') return 'plausible'
  if (schema.type === 'integer' || schema.type === 'number') return Math.max(1, schema.minimum ?? 1)
  if (schema.type === 'boolean') return false
  return schema.type === 'array' ? [] : {}
}
