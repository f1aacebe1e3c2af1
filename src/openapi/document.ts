import { type Example, exampleOf, type Schema } from './examples.ts'

interface Content {
  schema?: Schema
  example?: unknown
}

interface Reply {
  description: string
  content?: Record<string, Content>
}

interface Parameter {
  name: string
  required?: boolean
  schema?: Schema
  example?: unknown
}

interface Operation {
  operationId?: string
  parameters?: Parameter[]
  requestBody?: { required?: boolean; content: Record<string, Content> }
  responses?: Record<string, Reply>
}

/** How a route writes its errors: the name of the schema they have. */
export type ErrorForm = 'Problem' | 'OpenAiError' | 'FlowiseError'

const ERROR_FORMS: readonly ErrorForm[] = ['Problem', 'OpenAiError', 'FlowiseError']

/** What the document says of an error status. */
export interface ErrorText {
  description: string
  /** The body, as this operation would send it. */
  example(path: string): unknown
}

/**
 * Completes a document in place: an example for each body, reply and required parameter (the page fills examples in, so
 * an optional one has none), and for each error status its content type, its codes and what it looks like.
 * Answers where no example could be made: `users.create request email`.
 */
export function completeDocument(paths: object, errorTextOf: (status: number, form: ErrorForm) => ErrorText): string[] {
  const missing: string[] = []
  for (const [path, operations] of Object.entries<Record<string, Operation>>({ ...paths })) {
    for (const operation of Object.values(operations)) {
      const note = (part: string, { value, missing: members }: Example) => {
        missing.push(...members.map((member) => `${operation.operationId} ${part} ${member}`.trim()))
        return value
      }
      for (const parameter of (operation.parameters ?? []).filter(({ required }) => required))
        parameter.example ??= note('parameter', exampleOf(parameter.schema ?? {}, [parameter.name]))
      for (const content of structured(operation.requestBody?.content)) {
        content.example ??= note('request', exampleOf(content.schema ?? {}))
        if (operation.requestBody && isNullable(content)) operation.requestBody.required = false
      }
      for (const [status, reply] of Object.entries(operation.responses ?? {})) {
        const content = reply.content?.['application/json']
        const form = ERROR_FORMS.find((name) => content?.schema?.$ref?.endsWith(`/${name}`))
        if (content && form === 'Problem') describeProblem(reply, content, path, errorTextOf(+status, form))
        else if (content && form) describeError(reply, content, path, errorTextOf(+status, form))
        else for (const one of structured(reply.content)) one.example ??= note(status, exampleOf(one.schema ?? {}))
      }
    }
  }
  return missing
}

/** Error replies are problems: Fastify's schemas have no place for a content type per status. */
function describeProblem(reply: Reply, content: Content, path: string, { description, example }: ErrorText): void {
  reply.description = description
  reply.content = { 'application/problem+json': { ...content, example: example(path) } }
}

function describeError(reply: Reply, content: Content, path: string, { description, example }: ErrorText): void {
  reply.description = description
  content.example = example(path)
}

/** Streams, tables and bytes are told by their description; an example is for what has members. */
function structured(content: Record<string, Content> | undefined): Content[] {
  return Object.entries(content ?? {}).flatMap(([type, one]) =>
    type.endsWith('json') && (one.schema?.type ?? one.schema?.anyOf) ? [one] : []
  )
}

/** A body that may be null may as well not be there. */
function isNullable({ schema }: Content): boolean {
  return schema?.anyOf?.some(({ type }) => type === 'null') ?? false
}
