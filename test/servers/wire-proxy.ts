import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import { type Fate, joinServer, type Route } from './wire-connection.ts'
import { mongodbProtocol, redisProtocol, type WireRequest } from './wire-message.ts'

export interface WireProxy {
  /** The server's address with this proxy in its place. */
  url: string
  /** Asked for each request in the order of arrival, never for what keeps a connection. At first everything passes. */
  decide: (request: WireRequest) => Fate
  /** Cuts all connections and each new one, until `reconnect`. */
  disconnect(): void
  reconnect(): void
  /** Resolves when the server has answered every request that did not simply pass, or is gone. */
  landed(): Promise<void>
}

/** A proxy before the one server of a `mongodb:` or `redis:` URL, closed when the test ends. */
export async function startWireProxy(t: Test, target: string): Promise<WireProxy> {
  const url = new URL(target)
  const isMongo = url.protocol === 'mongodb:'
  const landings = new Set<Promise<void>>()
  const clients = new Set<Socket>()
  const servers = new Set<Socket>()
  let isConnected = true
  const route: Route = {
    protocol: isMongo ? mongodbProtocol : redisProtocol,
    target: { host: url.hostname, port: Number(url.port || (isMongo ? 27_017 : 6379)) },
    decide: (request) => proxy.decide(request),
    keep(landing) {
      landings.add(landing)
      landing.then(() => landings.delete(landing))
    }
  }
  const listener = createServer((client) => {
    hold(clients, client)
    if (isConnected) hold(servers, joinServer(client, route))
    else client.on('error', () => {}).resetAndDestroy()
  })
  const cutClients = () => {
    for (const client of clients) client.resetAndDestroy()
  }
  await once(listener.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => {
    listener.close()
    cutClients()
    for (const server of servers) server.destroy()
  })

  const address = listener.address()
  if (address === null || typeof address === 'string') throw new Error('The proxy has no port')
  url.host = `127.0.0.1:${address.port}`
  // A replica set would tell its own addresses, and the driver would go there.
  if (isMongo) url.searchParams.set('directConnection', 'true')
  const proxy: WireProxy = {
    url: url.href,
    decide: () => 'pass',
    disconnect() {
      isConnected = false
      cutClients()
    },
    reconnect() {
      isConnected = true
    },
    async landed() {
      while (landings.size > 0) await Promise.all(landings)
    }
  }
  return proxy
}

function hold(sockets: Set<Socket>, socket: Socket): void {
  sockets.add(socket)
  socket.once('close', () => sockets.delete(socket))
}
