import { setTimeout as wait } from 'node:timers/promises'
import type { Changed } from './journal.ts'
import type { UserOptions } from './users.ts'

const PAUSE_MS = 1_000

export interface AdministratorOptions
  extends Pick<UserOptions, 'send' | 'random' | 'journal' | 'thinkMs' | 'isOver' | 'giveUpAt'> {
  number: number
  token: string
  userIds: string[]
}

/** Gives and takes credits and freezes accounts until it is over, each change with a key and until it is answered. */
export async function actAsAdministrator(options: AdministratorOptions): Promise<void> {
  const { send, random, journal, thinkMs, isOver, giveUpAt, number, token, userIds } = options
  let count = 0

  async function change(): Promise<void> {
    const action = random.pick([
      [60, 'allocate'],
      [40, 'adjust']
    ] as const)
    const changed: Changed = {
      userId: anybody(),
      key: `change-${number}-${++count}`,
      action,
      // A few take more than there is.
      amount: action === 'allocate' ? 1 + random.below(5) : -1 - random.below(8),
      result: 'unknown',
      tries: 0
    }
    journal.changes.push(changed)
    const { userId, key, amount } = changed
    const path = `/admin/users/${userId}/credits/${action}`
    const body = { amount, note: 'chaos' }
    do {
      if (changed.tries++ > 0) await wait(PAUSE_MS * (0.5 + random.next()))
      const { kind, status, text } = await send({ method: 'POST', path, token, key, body })
      if (kind === 'whole' && status === 200) changed.result = 'acknowledged'
      else if (kind === 'whole' && text.includes('"balance_would_be_negative"')) changed.result = 'refused'
    } while (changed.result === 'unknown' && Date.now() < giveUpAt())
  }

  async function freeze(): Promise<void> {
    const path = `/admin/users/${anybody()}/credits/frozen`
    for (const frozen of [true, false]) {
      let isDone = false
      while (!isDone && Date.now() < giveUpAt()) {
        const { kind, status } = await send({ method: 'PUT', path, token, body: { frozen } })
        isDone = kind === 'whole' && status === 200
        await wait(random.pauseMs(PAUSE_MS))
      }
    }
    journal.count('accounts frozen and thawed')
  }

  function anybody(): string {
    return userIds[random.below(userIds.length)] ?? ''
  }

  while (!isOver()) {
    await random.pick([
      [85, change],
      [15, freeze]
    ])()
    await wait(random.pauseMs(thinkMs))
  }
}
