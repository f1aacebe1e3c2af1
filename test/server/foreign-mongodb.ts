import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { BSON, type Document } from 'mongodb'
import type { Test } from 'tap'
import { mongodbProtocol } from '../servers/wire-message.ts'

const OP_REPLY = 1
const OP_QUERY = 2004
const OP_MSG = 2013
const HELLO = {
  ok: 1,
  isWritablePrimary: true,
  ismaster: true,
  helloOk: true,
  minWireVersion: 0,
  maxWireVersion: 21,
  maxBsonObjectSize: 16_777_216,
  maxMessageSizeBytes: 48_000_000,
  maxWriteBatchSize: 100_000,
  saslSupportedMechs: ['admin.user.SCRAM-SHA-256']
}

/** What a command is answered; undefined: nothing, ever. */
export type Answer = (command: string) => Document | undefined

export const refusal = (code: number, codeName: string): Document => ({
  ok: 0,
  code,
  codeName,
  errmsg: `refused at 127.0.0.1 with never-shown`
})

/**
 * A MongoDB of somebody else that says what no server of the tests can be made to say. Answers its URL without login, which
 * begins behind `mongodb://`.
 */
export async function startForeignMongo(t: Test, answer: Answer): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    const messagesOf = mongodbProtocol.createFraming()
    socket.on('error', () => {})
    socket.on('data', (piece: Buffer) => {
      for (const message of messagesOf(piece)) {
        const reply = replyTo(message, answer)
        if (reply) socket.write(reply)
      }
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const address = server.address()
  return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
}

function replyTo(message: Buffer, answer: Answer): Buffer | undefined {
  const isMessage = message.readInt32LE(12) === OP_MSG
  // The first greeting of a connection has the older form; nothing else has.
  const [command = ''] = isMessage ? Object.keys(BSON.deserialize(message.subarray(21))) : ['hello']
  const body = /^(hello|ismaster)$/i.test(command) ? (answer('hello') ?? HELLO) : answer(command)
  if (body === undefined) return undefined
  const bson = BSON.serialize(body)
  const head = isMessage ? Buffer.alloc(21) : Buffer.alloc(36)
  head.writeInt32LE(head.length + bson.length, 0)
  head.writeInt32LE(message.readInt32LE(4), 8)
  head.writeInt32LE(isMessage ? OP_MSG : OP_REPLY, 12)
  if (!isMessage) head.writeInt32LE(1, 32)
  return message.readInt32LE(12) === OP_QUERY || isMessage ? Buffer.concat([head, bson]) : undefined
}
