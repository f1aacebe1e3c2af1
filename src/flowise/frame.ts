import { isRecord, isTooDeep, parseJson } from './json.ts'

/** One event of Flowise's stream, whatever dialect it came in. */
export interface Frame {
  event: string
  data: unknown
  /** The object on the wire, with siblings of `data` such as `duration`. */
  members: Record<string, unknown>
  /** The same object as one line of JSON that begins with `event`: the text as sent wherever that already has this form. */
  json: string
}

/** A frame made here instead of by Flowise. */
export function createFrame(event: string, data: unknown): Frame {
  const members = { event, data }
  return { event, data, members, json: JSON.stringify(members) }
}

/**
 * The frame of one dispatched event: `name` is its `event:` line (empty if it had none), `text` its joined data lines.
 * What nests too deep is a `message` without data: nothing that Flowise says.
 */
export function readFrame(name: string, text: string): Frame {
  const parsed = parseJson(text)
  if (isTooDeep(parsed)) return createFrame('message', null)
  if (
    isRecord(parsed) &&
    typeof parsed.event === 'string' &&
    (name === '' || 'data' in parsed || parsed.event === name)
  ) {
    return { event: parsed.event, data: parsed.data, members: parsed, json: oneLine(text, parsed) }
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
