import { BSON, type Document } from 'mongodb'

const HEADER_BYTES = 16
const OP_MSG = 2013
const MORE_TO_COME = 2
/** How drivers keep a connection: nothing that a test would want to lose. */
const CONTROL = new Set(
  'hello isMaster ismaster ping buildInfo saslStart saslContinue endSessions client auth info select quit'.split(' ')
)

/** A request as a test looks at it. */
export interface WireRequest {
  /** As `update` or `find`; for Redis in lower case, `evalsha` or `publish`. */
  command: string
  /** Undefined if the command has none, as with Redis. */
  collection: string | undefined
  /** The MongoDB command with its documents, as `{ update, updates: [{ q, u }] }`; empty for Redis. */
  body: Document
  bytes: Buffer
}

export interface Protocol {
  /** Whole messages out of the pieces of one direction of one connection. */
  createFraming(): (piece: Buffer) => Buffer[]
  /** What the request asks for; undefined for what keeps the connection. */
  describe(bytes: Buffer): WireRequest | undefined
  /** Ties an answer to its request. */
  requestId(bytes: Buffer): number
  answeredId(bytes: Buffer): number
}

/** Messages of MongoDB, told apart by their length. Compressed ones pass as they are. */
export const mongodbProtocol: Protocol = {
  createFraming() {
    let rest = Buffer.alloc(0)
    return (piece) => {
      rest = Buffer.concat([rest, piece])
      const messages: Buffer[] = []
      while (rest.length >= HEADER_BYTES && rest.length >= rest.readInt32LE(0)) {
        const length = Math.max(rest.readInt32LE(0), HEADER_BYTES)
        messages.push(rest.subarray(0, length))
        rest = rest.subarray(length)
      }
      return messages
    }
  },
  describe(bytes) {
    if (bytes.readInt32LE(12) !== OP_MSG) return undefined
    // Who wants no answer has none to lose.
    if ((bytes.readInt32LE(HEADER_BYTES) & MORE_TO_COME) !== 0) return undefined
    const body = bodyOf(bytes)
    const [command = ''] = Object.keys(body)
    if (CONTROL.has(command)) return undefined
    const named: unknown = command === 'getMore' ? body.collection : body[command]
    return { command, collection: typeof named === 'string' ? named : undefined, body, bytes }
  },
  requestId: (bytes) => bytes.readInt32LE(4),
  answeredId: (bytes) => bytes.readInt32LE(8)
}

/** Pieces as they come: one for each command that its sender waits for, several commands in one when they are piped. */
export const redisProtocol: Protocol = {
  createFraming: () => (piece) => [piece],
  describe(bytes) {
    const command = /^\*\d+\r\n\$\d+\r\n(\w+)\r\n/.exec(bytes.toString('latin1'))?.[1]?.toLowerCase() ?? ''
    return CONTROL.has(command) ? undefined : { command, collection: undefined, body: {}, bytes }
  },
  requestId: () => 0,
  answeredId: () => 0
}

/** Sections follow the flags: the command, and lists of documents that belong to it. */
function bodyOf(bytes: Buffer): Document {
  const body: Document = {}
  let at = HEADER_BYTES + 4
  while (at + 4 < bytes.length) {
    const isSequence = bytes[at] === 1
    const length = bytes.readInt32LE(at + 1)
    const section = bytes.subarray(at + 1, at + 1 + length)
    if (isSequence) Object.assign(body, sequenceOf(section))
    else if (bytes[at] === 0) Object.assign(body, BSON.deserialize(section))
    else break
    at += 1 + length
  }
  return body
}

function sequenceOf(section: Buffer): Document {
  const end = section.indexOf(0, 4)
  const documents: Document[] = []
  for (let at = end + 1; at < section.length; at += section.readInt32LE(at))
    documents.push(BSON.deserialize(section.subarray(at, at + section.readInt32LE(at))))
  return { [section.toString('utf8', 4, end)]: documents }
}
