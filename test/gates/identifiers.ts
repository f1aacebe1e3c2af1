/** What an identifier of the API names; `filter` only narrows a list of one's own, `open` is answered to anybody alike. */
export type Kind =
  | 'session'
  | 'file'
  | 'token'
  | 'key'
  | 'receipt'
  | 'message'
  | 'chatflow'
  | 'user'
  | 'entry'
  | 'filter'
  | 'open'
  | 'silent'
  | 'surface'

/** Every identifier a client may send, by its name. A new one says here what it is, else the test of access fails. */
const kinds: Record<string, Kind> = {
  session_id: 'session',
  sessionId: 'session',
  'overrideConfig.sessionId': 'session',
  chatId: 'session',
  chat_id: 'session',
  file_id: 'file',
  file_ids: 'file',
  token_id: 'token',
  key_id: 'key',
  message_id: 'message',
  api_key_id: 'filter',
  visitor_id: 'open',
  chatflow_id: 'chatflow',
  chatflow_ids: 'chatflow',
  model: 'chatflow',
  id: 'user',
  user: 'user',
  user_id: 'user',
  user_ids: 'user'
}

/** Where the name alone does not tell. `silent`: Flowise's own path to abort answers 200 whatever it is given. */
const exceptions: Record<string, Kind> = {
  'admin.keys.revoke key_id': 'entry',
  // What cannot be in a list is told with its place: 422.
  'keys.create chatflow_ids': 'entry',
  'sessions.list chatflow_id': 'filter',
  'credits.usage chatflow_id': 'filter',
  'credits.usage api_key_id': 'filter',
  'admin.usage user_id': 'filter',
  'admin.usage chatflow_id': 'filter',
  'admin.usage api_key_id': 'filter',
  'receipts.get id': 'receipt',
  'predictions.resume last_event_id': 'filter',
  'chatflows.streaming chatflow_id': 'open',
  'flowise.icon name': 'open',
  // A name that is another's session stands for a chat of the client's own.
  'predictions.flowise chatId': 'surface',
  'predictions.flowise sessionId': 'surface',
  'predictions.flowise overrideConfig.sessionId': 'surface',
  'predictions.abort chat_id': 'silent',
  'predictions.abort chatflow_id': 'silent'
}

/** What Flowise's own clients send beside a prediction: of whom it may be is tested in test/surface and test/prediction/session.test.ts, route by route. */
const SURFACE = /^(feedback|leads|attachments|vector|speech)\.|^files\.(stored|assistant)$/

/** A place for an identifier in a request. */
export interface Slot {
  operationId: string
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  path: string
  part: 'path' | 'query' | 'body'
  name: string
  /** Undefined: nobody has said. */
  kind: Kind | undefined
  /** A body that is right, as the document shows it. */
  example: Record<string, unknown>
  /** Sent as a form with parts instead of JSON. */
  isForm: boolean
}

interface Schema {
  type?: string
  properties?: Record<string, Schema>
  anyOf?: Schema[]
}

interface DocumentOperation {
  operationId: string
  parameters?: { name: string; in: string }[]
  requestBody?: { content: Record<string, { schema?: Schema; example?: unknown }> }
}

const IDENTIFIER = /(^|_)ids?$|[a-z]Ids?$|^user$|^model$/

/** Every place for an identifier that a document describes: parts of a path, and members that are named like one. */
export function slotsOf(document: { paths: Record<string, Record<string, DocumentOperation>> }): Slot[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { operationId, parameters = [], requestBody }]): Slot[] => {
      const [first] = Object.entries(requestBody?.content ?? {})
      const example = (first?.[1].example ?? {}) as Record<string, unknown>
      const common = { operationId, method: method.toUpperCase() as Slot['method'], path, example }
      const isForm = first?.[0] === 'multipart/form-data'
      const places = [
        ...parameters
          .filter((one) => one.in === 'path' || (one.in === 'query' && IDENTIFIER.test(one.name)))
          .map(({ in: part, name }) => ({ part: part as 'path' | 'query', name })),
        ...membersOf(first?.[1].schema).map((name) => ({ part: 'body' as const, name }))
      ]
      return places.map((place) => {
        const known = exceptions[`${operationId} ${place.name}`] ?? kinds[place.name]
        const kind = SURFACE.test(operationId) ? 'surface' : known
        return { ...common, isForm, ...place, kind }
      })
    })
  )
}

/** Members that name something; what may be in an open object is known by its name here. */
function membersOf(schema: Schema | undefined): string[] {
  const properties = schema?.properties ?? schema?.anyOf?.find((choice) => choice.properties)?.properties ?? {}
  const named = Object.keys(properties).filter((name) => IDENTIFIER.test(name))
  return 'overrideConfig' in properties ? [...named, 'overrideConfig.sessionId'] : named
}
