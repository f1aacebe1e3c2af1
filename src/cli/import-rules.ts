import { isEmail, isPlainText, normalEmail, roleOf, usernameKeyOf } from '../auth/user-names.ts'
import type { Clock } from '../clock.ts'
import type { Config } from '../config.ts'
import { createGrants } from '../credits/grants.ts'
import { toMicro } from '../credits/pricing.ts'
import { AppError } from '../errors.ts'
import { safeName } from '../files/names.ts'
import { fileSessionKey } from '../files/rows.ts'
import { checkType } from '../files/sniff.ts'
import { fileTypes } from '../files/types.ts'
import { createUsage } from '../files/usage.ts'
import { createFrame } from '../flowise/frame.ts'
import { isRecord, isTooDeep } from '../flowise/json.ts'
import { createRedaction } from '../flowise/redaction.ts'
import { createTranscript } from '../flowise/transcript.ts'
import { answerRow, questionRow } from '../history/messages.ts'
import { topicOf } from '../history/text.ts'
import { sha256Hex } from '../ids.ts'
import { readEvents } from '../import/message.ts'
import type { CreditRules, HistoryRules, ImportParts } from '../import/rules.ts'
import { grantId } from '../permissions/grants.ts'
import type { AccountRow, LedgerEntryRow } from '../store/collections.ts'
import type { Store } from '../store/port.ts'

export interface RuleOptions {
  config: Config
  target: Store
  clock: Clock
  isDry: boolean
}

type Rules = Pick<ImportParts, 'users' | 'credits' | 'permissions' | 'history' | 'files'>

/** What the nouns of the gateway say about data that comes from a proxy. */
export function importRules(options: RuleOptions): Rules {
  const { config, target } = options
  // A quota is a limit for what comes; what somebody had they keep.
  const unlimited = { maxBytes: Number.MAX_SAFE_INTEGER, maxFiles: Number.MAX_SAFE_INTEGER }
  return {
    users: {
      isManagedExternally: config.auth.mode === 'external',
      roleOf,
      normalEmail,
      isEmail,
      usernameKeyOf,
      isPlainText
    },
    credits: creditRules(options),
    permissions: { grantId },
    history: { topicOf, questionRow, answerRow, readAnswer },
    files: {
      maxFileBytes: config.limits.fileBytes,
      safeName,
      sessionKey: fileSessionKey,
      sha256: sha256Hex,
      typeOf,
      take: createUsage(target, unlimited).take
    }
  }
}

/** In place of what new accounts get, because that was given there. */
function creditRules({ config, target, clock, isDry }: RuleOptions): CreditRules {
  const ledger = createGrants({ store: target, clock })
  const accounts = target.collection<AccountRow>('accounts')
  const entries = target.collection<LedgerEntryRow>('ledger_entries')
  return {
    isKeptHere: config.accounting === undefined,
    toMicro,
    async grant({ id }, { key, amountMicro, note }) {
      const isDone =
        amountMicro === 0
          ? (await accounts.get(id)) !== undefined
          : (await entries.list({ where: { equal: { accountId: id, requestId: key } }, limit: 1 })).length > 0
      if (isDone || isDry) return !isDone
      await ledger.open(id, 0)
      if (amountMicro > 0) await ledger.change(id, { key, kind: 'grant', amountMicro, note })
      return true
    }
  }
}

const readAnswer: HistoryRules['readAnswer'] = (events, metadata, chatflow) => {
  const { kept } = createRedaction(chatflow ?? {}, { isStranger: false, messageId: '' })
  const transcript = createTranscript({ allowed: kept })
  const beside = readEvents(metadata) ?? (isRecord(metadata) ? [{ event: 'metadata', data: metadata }] : [])
  for (const { event, data } of [...events, ...beside.filter(({ event: name }) => name !== 'token')])
    if (!isTooDeep(data)) transcript.add(createFrame(event, data))
  const { text, data, isDataOmitted, isTruncated } = transcript
  return {
    text,
    ...(data ? { data } : {}),
    ...(isDataOmitted ? { dataOmitted: true } : {}),
    ...(isTruncated ? { truncated: true } : {})
  }
}

async function typeOf(bytes: Buffer, claimed: string | undefined): Promise<string | undefined> {
  for (const mime of [claimed ?? '', ...fileTypes.map((type) => type.mime)]) {
    try {
      return (await checkType(bytes, [mime])).mime
    } catch (error) {
      if (!(error instanceof AppError)) throw error
    }
  }
  return undefined
}
