import type { Clock } from '../clock.ts'
import type { Store } from '../store/port.ts'
import { AppError } from '../errors.ts'
import type { AuthService } from './external-calls.ts'
import type { ServiceLimit } from './external-limit.ts'
import type { Sealer } from './sealed.ts'
import type { TokenFamilyRow } from '../store/collections.ts'

/** Telling the auth service of sessions that have ended here; what it does not hear is repeated until it does. */
export interface Logouts {
  /** Tells of one session when it is due (epoch ms), in the background, until the service has answered. */
  remind(familyId: string, dueAt: number): void
  /** Sees to the logouts that are due within so long, also to those of processes that died. */
  resume(withinMs: number): Promise<void>
  /**
   * Tells of all sessions of a user at once. Each of them stays due as long as the service has not agreed, and is told
   * by itself when this call failed: the bearer is kept nowhere.
   */
  sendAll(userId: string, bearer: string): Promise<void>
}

export interface LogoutOptions {
  store: Store
  service: AuthService
  limit: ServiceLimit
  sealer: Sealer
  clock: Clock
  /** Takes work that nobody waits for but a shutdown. */
  keep: (work: Promise<void>) => void
}

const FIRST_DELAY_MS = 1_000
const LAST_DELAY_MS = 300_000
const MAX_DOUBLINGS = 10
const MOST_SESSIONS = 1000
const DONE = { unset: ['logoutAt', 'sealedToken', 'logoutTries'] }

/** Over the rows of the ended sessions: the order to tell of them is written with their end. */
export function createLogouts({ store, service, limit, sealer, clock, keep }: LogoutOptions): Logouts {
  const families = store.collection<TokenFamilyRow>('token_families')

  /** Claims the next try, so that of several processes one makes it; undefined when it is not due or not ours. */
  async function claim(family: TokenFamilyRow): Promise<number | undefined> {
    const { id, logoutAt, logoutTries = 0 } = family
    const now = clock.now()
    if (logoutAt === undefined || logoutAt > now) return undefined
    const delayMs = Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(logoutTries, MAX_DOUBLINGS))
    const nextAt = Math.max(now + delayMs, limit.closedUntilAt)
    const isOurs = await families.update(
      id,
      { equal: { logoutAt } },
      { set: { logoutAt: nextAt }, inc: { logoutTries: 1 } }
    )
    return isOurs ? nextAt : undefined
  }

  async function tell(family: TokenFamilyRow): Promise<void> {
    const nextAt = await claim(family)
    if (nextAt === undefined) return
    const token = family.sealedToken === undefined ? undefined : sealer.open(family.sealedToken, family.id)
    try {
      // Without the token, or after its end, there is nothing left that the service could end.
      if (token !== undefined && clock.now() < family.expiresAt) await service.logout(token)
      await families.update(family.id, {}, DONE)
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      remind(family.id, Math.max(nextAt, limit.closedUntilAt))
    }
  }

  function remind(familyId: string, dueAt: number): void {
    const send = async () => {
      const family = await families.get(familyId)
      // A timer may ring a moment before its time.
      if (family?.logoutAt === dueAt && dueAt > clock.now()) remind(familyId, dueAt)
      else if (family) await tell(family)
    }
    const waitMs = dueAt - clock.now()
    if (waitMs <= 0) keep(send())
    else clock.after(waitMs, () => keep(send()))
  }

  return {
    remind,
    async resume(withinMs) {
      const where = { lt: { logoutAt: clock.now() + withinMs } }
      const rows = await families.list({ where, order: { by: 'logoutAt', direction: 'asc' }, limit: MOST_SESSIONS })
      // Twice is fine: whoever claims the try first makes it.
      for (const { id, logoutAt = 0 } of rows) remind(id, logoutAt)
    },
    async sendAll(userId, bearer) {
      const where = { equal: { userId }, exists: { logoutAt: true } }
      const ended = await families.list({ where, limit: MOST_SESSIONS })
      try {
        if (!(await service.logoutAll(bearer))) return
      } catch (error) {
        if (error instanceof AppError) return
        throw error
      }
      for (const { id } of ended) await families.update(id, {}, DONE)
    }
  }
}
