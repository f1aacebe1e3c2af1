import { isRecord, isTooDeep, parseJson } from './json.ts'

/** One event of Flowise's stream, whatever dialect it came in. */
export interface Frame {
  event: string
  data: unknown
  /** The object on the wire, with siblings of `data` such as `duration`. */
  members: Record<string, unknown>
  /** The same object as one line of JSON that begins with `event`: the text as sent wherever that already has this form. */
  json: string
  /** The text of a token whose `json` is as `createFrame` makes it. */
  plainToken?: string | undefined
}

/** How nearly all events begin and end. */
const TOKEN_PREFIX = '{"event":"token","data":"'
const TOKEN_SUFFIX = '"}'
const SHORTEST_TOKEN = TOKEN_PREFIX.length + TOKEN_SUFFIX.length
/** What means something else in JSON, or must not stand there. */
const ESCAPED = /["\\\p{Cc}]/u

/** A frame made here instead of by Flowise. */
export function createFrame(event: string, data: unknown): Frame {
  const members = { event, data }
  return { event, data, members, json: JSON.stringify(members), plainToken: undefined }
}

/**
 * The frame of one dispatched event: `name` is its `event:` line (empty if it had none), `text` its joined data lines.
 * What nests too deep is a `message` without data: nothing that Flowise says.
 */
export function readFrame(name: string, text: string): Frame {
  return (name === '' ? readPlainToken(text) : undefined) ?? readJson(name, text)
}

/** A token whose text stands in the JSON as it is: without a parser. Undefined for anything else. */
function readPlainToken(text: string): Frame | undefined {
  if (text.length < SHORTEST_TOKEN || !text.startsWith(TOKEN_PREFIX) || !text.endsWith(TOKEN_SUFFIX)) return undefined
  const data = text.slice(TOKEN_PREFIX.length, -TOKEN_SUFFIX.length)
  if (ESCAPED.test(data)) return undefined
  return { event: 'token', data, members: { event: 'token', data }, json: text, plainToken: data }
}

function readJson(name: string, text: string): Frame {
  const parsed = parseJson(text)
  if (isTooDeep(parsed)) return createFrame('message', null)
  if (
    isRecord(parsed) &&
    typeof parsed.event === 'string' &&
    (name === '' || 'data' in parsed || parsed.event === name)
  ) {
    return {
      event: parsed.event,
      data: parsed.data,
      members: parsed,
      json: oneLine(text, parsed),
      plainToken: undefined
    }
  }
  return createFrame(name === '' ? 'message' : name, parsed === undefined ? text : parsed)
}

/** True if the text is a complete JSON object: nothing was lost of it when the connection closed. */
export function isCompleteObject(text: string): boolean {
  return isRecord(parseJson(text))
}

function oneLine(text: string, members: Record<string, unknown>): string {
  // A duplicate of `event` later in the text would win in a parser; JSON.parse has decided, so only the prefix matters.
  if (text.startsWith('{"event":') && !/[\r\n]/.test(text)) return text
  const { event, ...others } = members
  return JSON.stringify({ event, ...others })
}
