import type { Blobs } from '../blobs/port.ts'
import type { Clock } from '../clock.ts'
import type { FileRow } from '../store/collections.ts'
import type { Guard, Store } from '../store/port.ts'
import { fileRows, fileSessionKey, PAGE } from './rows.ts'
import type { Usage } from './usage.ts'

export interface RemovalOptions {
  store: Store
  blobs: Blobs
  clock: Clock
  usage: Usage
}

/** How files go: whoever changes the state to leaving takes the bytes, the count and the row away, in this order. */
export interface Removal {
  /** False if the file changed since it was read, or is going already. */
  remove(row: FileRow): Promise<boolean>
  /** Takes over a removal that its process did not finish. */
  finish(row: FileRow): Promise<void>
  /** Removes the files of a session that no other session has; answers how many. */
  removeOfSession(userId: string, sessionId: string): Promise<number>
  /** Removes all files of a user, those too that are still coming; answers how many. */
  removeAllOf(userId: string): Promise<number>
}

/** The removal of files in this store. */
export function createRemoval({ store, blobs, clock, usage }: RemovalOptions): Removal {
  const files = fileRows(store)

  async function takeAway(row: FileRow): Promise<void> {
    await blobs.remove(row.id)
    await usage.release(row)
    await files.remove(row.id)
    await usage.forget(row)
  }

  /** Of several that begin at once, one goes on. */
  async function begin({ id, state, version }: FileRow): Promise<boolean> {
    const isAsRead: Guard = { equal: { state, version } }
    return files.update(id, isAsRead, { set: { state: 'leaving', stateAt: clock.now() }, inc: { version: 1 } })
  }

  async function remove(row: FileRow): Promise<boolean> {
    if (row.state === 'leaving' || !(await begin(row))) return false
    await takeAway(row)
    return true
  }

  return {
    remove,
    async finish(row) {
      if (await begin(row)) await takeAway(row)
    },
    async removeOfSession(userId, sessionId) {
      const key = fileSessionKey(sessionId)
      const isOfSession: Guard = { equal: { userId, state: 'kept' }, exists: { [`sessions.${key}`]: true } }
      let removed = 0
      for (;;) {
        // From the start each time: what was dealt with is not found again, what changed meanwhile is.
        const page = await files.list({ where: isOfSession, limit: PAGE })
        if (page.length === 0) return removed
        for (const row of page) {
          const others = Object.keys(row.sessions).filter((other) => other !== key)
          if (others.length === 0) removed += (await remove(row)) ? 1 : 0
          else
            await files.update(
              row.id,
              { equal: { state: 'kept', version: row.version } },
              { unset: [`sessions.${key}`], inc: { version: 1 } }
            )
        }
      }
    },
    async removeAllOf(userId) {
      let removed = 0
      for (const state of ['kept', 'arriving']) {
        for (;;) {
          const page = await files.list({ where: { equal: { userId, state } }, limit: PAGE })
          if (page.length === 0) break
          for (const row of page) removed += (await remove(row)) ? 1 : 0
        }
      }
      await usage.removeEmpty(userId)
      return removed
    }
  }
}
