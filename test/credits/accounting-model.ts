import type { AccountingClient } from '../../src/credits/accounting-client.ts'
import { AppError } from '../../src/errors.ts'
import type { Ids } from '../../src/ids.ts'
import type { CollectionSpec, Document, Store } from '../../src/store/port.ts'

/** The balance at the accounting service, and each deduction from it, as rows: what is asked of it goes over the same wire. */
export interface RemoteBalance extends Document {
  micro: number
}

export interface RemoteDeduction extends Document {
  chargeId: string
  micro: number
}

export const remoteCollections: CollectionSpec[] = [
  { name: 'remote_balances' },
  { name: 'remote_deductions', appendedFrom: ['remote_balances'] }
]

/**
 * A client whose service is a row: its requests are lost, answered late or carried out late like those to the store, and
 * a request that is sent twice is deducted twice.
 */
export function createModelClient(store: Store, ids: Ids): Pick<AccountingClient, 'balance' | 'look' | 'deduct'> {
  const balances = store.collection<RemoteBalance>('remote_balances')

  async function read(userId: string): Promise<number> {
    return (await balances.get(userId))?.micro ?? 0
  }

  return {
    async balance({ userId }) {
      try {
        return { micro: await read(userId), isSufficient: true }
      } catch (cause) {
        throw new AppError('accounting_unavailable', {}, { cause })
      }
    },
    async look({ customer }) {
      try {
        return { micro: await read(customer.userId) }
      } catch {
        return { isUnauthorized: false, reason: 'lost' }
      }
    },
    async deduct({ id: chargeId, userId, credits }) {
      const micro = credits * 1_000_000
      const deduction: RemoteDeduction = { id: ids.run(), chargeId, micro }
      try {
        const isDone = await balances.update(userId, { gte: { micro } }, { inc: { micro: -micro } }, [
          { collection: 'remote_deductions', document: deduction }
        ])
        return { outcome: isDone ? 'settled' : 'refused', reason: 'model' }
      } catch {
        return { outcome: 'unknown', reason: 'lost' }
      }
    }
  }
}
