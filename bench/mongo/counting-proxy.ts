import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { mongodbProtocol } from '../../test/servers/wire-message.ts'
import type { MongoPlace } from '../gateway.ts'
import { isPublication, type Trips, tripsOf, type WireEvent } from './trips.ts'

/** Counts what passes between a gateway and its MongoDB; everything does pass. */
export interface TripCounter {
  /** The round trips since the last call. */
  take(): Trips
}

export interface CountingProxy extends TripCounter {
  /** The server with this proxy in its place. */
  place: MongoPlace
  close(): void
}

/** A proxy before the server of this address. What only keeps a connection is not counted. */
export async function startCountingProxy({ url, database }: MongoPlace): Promise<CountingProxy> {
  const target = new URL(url)
  const sockets = new Set<Socket>()
  let events: WireEvent[] = []
  let connections = 0
  const listener = createServer({ noDelay: true }, (client) => {
    const number = (connections += 1)
    const server = connect({ host: target.hostname, port: Number(target.port || 27_017), noDelay: true })
    const named = (id: number) => `${number}:${id}`
    join(client, server, (message) => {
      const request = mongodbProtocol.describe(message)
      if (request === undefined) return
      const id = named(mongodbProtocol.requestId(message))
      events.push({ kind: 'sent', id, isBackground: isPublication(request) })
    })
    join(server, client, (message) => {
      events.push({ kind: 'answered', id: named(mongodbProtocol.answeredId(message)) })
    })
    for (const socket of [client, server]) sockets.add(socket.once('close', () => sockets.delete(socket)))
  })
  await once(listener.listen(0, '127.0.0.1'), 'listening')
  const address = listener.address()
  if (address === null || typeof address === 'string') throw new Error('The proxy before MongoDB has no port.')
  const own = new URL(url)
  own.host = `127.0.0.1:${address.port}`
  // A replica set would tell its own addresses, and the driver would go there.
  own.searchParams.set('directConnection', 'true')
  return {
    place: { url: own.href, database },
    take() {
      const seen = events
      events = []
      return tripsOf(seen)
    },
    close() {
      listener.close()
      for (const socket of sockets) socket.destroy()
    }
  }
}

function join(from: Socket, to: Socket, look: (message: Buffer) => void): void {
  const messagesOf = mongodbProtocol.createFraming()
  from.on('data', (piece: Buffer) => {
    // Seen first: an answer cannot arrive before its command was noted.
    for (const message of messagesOf(piece)) look(message)
    to.write(piece)
  })
  from.on('error', () => to.destroy())
  from.on('close', () => to.destroy())
}
