import { AppError } from '../../src/errors.ts'
import type { Collection, Document, Store } from '../../src/store/port.ts'
import type { Fate } from '../servers/wire-connection.ts'
import type { Process, Waiting, Wire } from './hostile-wire.ts'

interface Answer<T> {
  resolve(value: T): void
  reject(error: unknown): void
}

/** The wire to a store in this process: every operation of the port is one request. */
export function createStoreWire(store: Store): Wire {
  const underWay = new Set<symbol>()

  /** Carries a request out as its fate is. */
  async function carryOut<T>(fate: Fate, run: () => Promise<T>, { resolve, reject }: Answer<T>): Promise<void> {
    const isLost = fate === 'lose-request' || fate === 'lose-answer' || (typeof fate === 'object' && 'landLate' in fate)
    if (isLost && fate !== 'lose-answer') reject(new AppError('store_unavailable'))
    if (fate === 'lose-request') return
    if (typeof fate === 'object' && 'landLate' in fate) await fate.landLate
    const self = Symbol('request')
    underWay.add(self)
    try {
      const result = await run()
      if (typeof fate === 'object' && 'delayAnswer' in fate) void fate.delayAnswer.then(() => resolve(result))
      else if (isLost) reject(new AppError('store_unavailable'))
      else resolve(result)
    } catch (error) {
      reject(error)
    } finally {
      underWay.delete(self)
    }
  }

  function startProcess(): Process {
    const queue = new Set<Waiting>()
    let isDead = false
    const unlessDead =
      <V>(act: (value: V) => void) =>
      (value: V) => {
        if (!isDead) act(value)
      }

    function request<T>(name: string, isWrite: boolean, run: () => Promise<T>): Promise<T> {
      return new Promise((resolve, reject) => {
        if (isDead) return
        const waiting: Waiting = {
          name,
          isWrite,
          decide(fate) {
            queue.delete(waiting)
            void carryOut(fate, run, { resolve: unlessDead(resolve), reject: unlessDead(reject) })
          }
        }
        queue.add(waiting)
      })
    }

    function collection<D extends Document>(name: string): Collection<D> {
      const real = store.collection<D>(name)
      return {
        insert: (...args) => request(`insert ${name}`, true, () => real.insert(...args)),
        update: (...args) => request(`update ${name}`, true, () => real.update(...args)),
        updated: (...args) => request(`update ${name}`, true, () => real.updated(...args)),
        remove: (...args) => request(`remove ${name}`, true, () => real.remove(...args)),
        get: (id) => request(`get ${name}`, false, () => real.get(id)),
        recent: (id) => request(`get ${name}`, false, () => real.recent(id)),
        list: (query) => request(`list ${name}`, false, () => real.list(query)),
        count: (where) => request(`count ${name}`, false, () => real.count(where))
      }
    }

    return {
      store: { ...store, collection, maintain: () => request('maintain', false, () => store.maintain()) },
      waiting: () => [...queue],
      async kill() {
        isDead = true
      }
    }
  }

  return {
    start: async () => startProcess(),
    async settled() {
      // A write is committed in the next turn, and its caller goes on in the one after.
      do await nextTurn()
      while (underWay.size > 0)
      await nextTurn()
    }
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
