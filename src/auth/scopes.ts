import { AppError } from '../errors.ts'
import type { KeyLimits, Scope } from './identity.ts'

/** What a scope opens besides itself. */
const INCLUDED: Record<Scope, readonly Scope[]> = { chat: ['chat', 'embed'], read: ['read'], embed: ['embed'] }

/** Whether one of the scopes is among those that are needed; nothing is, where none is named. */
export function isWithin(scopes: readonly Scope[], needed: Scope | readonly Scope[] | undefined): boolean {
  const any = neededOf(needed)
  return scopes.some((scope) => INCLUDED[scope].some((opened) => any.includes(opened)))
}

/** A login may use every route of its user; a key the routes of its scopes. @throws scope_required */
export function requireScope(key: KeyLimits | null, needed: Scope | readonly Scope[] | undefined): void {
  if (key === null || isWithin(key.scopes, needed)) return
  // A key can have no scope `embed` of its own: the wider one is what its owner can give it.
  const names = neededOf(needed).map((scope) => (scope === 'embed' ? 'chat' : scope))
  throw new AppError('scope_required', {
    detail:
      names.length === 0
        ? 'API keys cannot be used for this. Log in.'
        : `This key lacks the scope ${[...new Set(names)].join(' or ')}.`
  })
}

/** Whether a key may see what belongs to a chatflow; one without a list, and a login, may see all that is its owner's. */
export function mayReach(key: KeyLimits | null, { chatflowId }: { chatflowId: string }): boolean {
  return !key?.chatflowIds || key.chatflowIds.includes(chatflowId)
}

/** What is told of the account as a whole is nothing for a key that is for some chatflows only. @throws scope_required */
export function requireWholeAccount(key: KeyLimits | null): void {
  if (!key?.chatflowIds) return
  const detail = 'This key is for some chatflows only. Their receipts and usage tell what they cost.'
  throw new AppError('scope_required', { detail })
}

function neededOf(needed: Scope | readonly Scope[] | undefined): readonly Scope[] {
  if (needed === undefined) return []
  return typeof needed === 'string' ? [needed] : needed
}
