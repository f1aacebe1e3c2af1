import type { AccountingCall, AccountingReply } from './accounting-call.ts'

type Spoken = Omit<AccountingCall, 'authorization' | 'headers'>

/** A charge in whole credits, the unit of both forms. */
export interface Due {
  readonly id: string
  readonly userId: string
  readonly credits: number
}

/** What a prediction came to. */
export interface Usage {
  readonly chatflowId: string
  readonly credits: number
  readonly isSuccess: boolean
  readonly isStream: boolean
  /** Null when nothing was charged. */
  readonly chargeId: string | null
  readonly sessionId: string
  readonly messageId: string
}

/** The wire form of an accounting service. */
export interface AccountingForm {
  balance(userId: string): Spoken
  /** Undefined where the reply has no number. */
  readBalance(json: Record<string, unknown>): { credits: unknown; isSufficient: boolean }
  /** Whether the balance that is told is that of the bearer, not of the user in the path. */
  readonly isOfBearer: boolean
  deduct(due: Due): Spoken
  deductAsService(due: Due): Spoken
  /** Whether a reply of status 200 says that it was deducted. */
  isDeducted(reply: AccountingReply, asService: boolean): boolean
  /** Absent where the service keeps no usage records. */
  record?(usage: Usage): Spoken
}

const MAX_OPERATION_LENGTH = 100

/** `/credits/{user_id}`, as the older documents have it. */
export const seedForm: AccountingForm = {
  isOfBearer: false,
  balance: (userId) => ({ method: 'GET', path: `/credits/${segment(userId)}` }),
  readBalance: ({ credits, sufficient }) => ({ credits, isSufficient: sufficient !== false }),
  deduct: deductFromPath,
  deductAsService: deductFromPath,
  isDeducted: ({ isHtml }) => !isHtml
}

/** `/api/credits/…`, as the real service has it. */
export const v1Form: AccountingForm = {
  isOfBearer: true,
  balance: () => ({ method: 'GET', path: '/api/credits/total-balance' }),
  readBalance: ({ totalCredits }) => ({ credits: totalCredits, isSufficient: true }),
  deduct: ({ credits }) => ({ method: 'POST', path: '/api/credits/deduct', body: { credits } }),
  deductAsService: ({ id, userId, credits }) => ({
    method: 'DELETE',
    path: '/api/credits/remove',
    body: { userId, credits, notes: `charge ${id}` }
  }),
  isDeducted: ({ json, isHtml }, asService) =>
    asService ? !isHtml : typeof json === 'object' && json !== null && 'success' in json && json.success === true,
  record: ({ chatflowId, credits, isSuccess, isStream, chargeId, sessionId, messageId }) => ({
    method: 'POST',
    path: '/api/usage/record',
    body: {
      service: 'chat',
      operation: chatflowId.slice(0, MAX_OPERATION_LENGTH),
      credits,
      metadata: {
        success: isSuccess,
        streaming: isStream,
        charge_id: chargeId,
        session_id: sessionId,
        message_id: messageId
      }
    }
  })
}

function deductFromPath({ userId, credits }: Due): Spoken {
  return { method: 'POST', path: `/credits/${segment(userId)}/deduct`, body: { amount: credits } }
}

/** One segment of a path, which not even a name of dots can leave. */
function segment(userId: string): string {
  return encodeURIComponent(userId).replace(/^\.+$/, (dots) => '%2E'.repeat(dots.length))
}
