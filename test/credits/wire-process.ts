import type { Clock } from '../../src/clock.ts'
import type { CollectionSpec, Store } from '../../src/store/port.ts'
import { type Calls, createCalls } from '../../src/store/mongo/calls.ts'
import { connectMongo } from '../../src/store/mongo/connect.ts'
import { createMongoStore } from '../../src/store/mongo/store.ts'
import type { Fate } from '../servers/wire-connection.ts'
import type { WireRequest } from '../servers/wire-message.ts'
import type { WireProxy } from '../servers/wire-proxy.ts'
import type { Process, Waiting } from './hostile-wire.ts'

/** Far more than a schedule makes at once. */
const MAX_CALLS = 1000
/** Without a pause before the driver looks at the server again: a schedule cuts hundreds of connections. */
const OPTIONS = { minHeartbeatFrequencyMS: '1', maxPoolSize: '20' }

export interface WireProcessOptions {
  proxy: WireProxy
  database: string
  specs: CollectionSpec[]
  clock: Clock
  /** Called whenever something moved. */
  moved(): void
}

export interface WireProcess extends Process {
  /** Whether every call waits on the wire, for a decision or for its answer. */
  isStill(): boolean
}

/** Connects a process through its proxy; from now on it decides about each of its requests. */
export async function startWireProcess(options: WireProcessOptions): Promise<WireProcess> {
  const { proxy, database, specs, clock, moved } = options
  const url = new URL(proxy.url)
  for (const [name, value] of Object.entries(OPTIONS)) url.searchParams.set(name, value)
  proxy.decide = () => 'pass'
  const { client } = await connectMongo({ url: url.href, database }, { specs, clock })
  const waiting = new Set<Waiting>()
  /** Requests that the server has to answer still, and answers that wait. */
  let [underWay, delayed, calls] = [0, 0, 0]
  let isDead = false

  proxy.decide = (request): Fate => {
    const decision = Promise.withResolvers<Fate>()
    const one: Waiting = {
      name: nameOf(request),
      isWrite: ['insert', 'update', 'findAndModify', 'delete'].includes(request.command),
      decide(fate) {
        waiting.delete(one)
        follow(fate)
        decision.resolve(fate)
      }
    }
    waiting.add(one)
    moved()
    return {
      undecided: decision.promise,
      answered() {
        underWay--
        moved()
      }
    }
  }

  function follow(fate: Fate): void {
    if (typeof fate === 'object' && 'landLate' in fate) {
      void fate.landLate.then(() => {
        underWay++
      })
      return
    }
    underWay++
    if (typeof fate === 'object' && 'delayAnswer' in fate) {
      delayed++
      void fate.delayAnswer.then(() => {
        delayed--
        moved()
      })
    }
  }

  const real = createCalls(MAX_CALLS)
  const counted: Calls = {
    get isEnded() {
      return real.isEnded
    },
    end: () => real.end(),
    run(call) {
      calls++
      const made = real.run(call)
      return new Promise((resolve, reject) => {
        // Of a process that is dead nothing goes on.
        made
          .then(
            (result) => !isDead && resolve(result),
            (error: unknown) => !isDead && reject(error)
          )
          .finally(() => {
            calls--
            moved()
          })
      })
    }
  }
  const store: Store = createMongoStore({
    db: client.db(database),
    specs,
    clock,
    calls: counted,
    disconnect: () => client.close()
  })

  return {
    store,
    waiting: () => [...waiting],
    isStill: () => underWay === 0 && (isDead || calls === waiting.size + delayed),
    async kill() {
      isDead = true
      proxy.disconnect()
      await client.close().catch(() => {})
      proxy.reconnect()
    }
  }
}

/** What the request asks for, without what differs each time. */
function nameOf({ command, collection, body }: WireRequest): string {
  return `${command} ${collection} ${JSON.stringify([body['filter'], body['updates'], body['documents'], body['deletes']])}`
}
