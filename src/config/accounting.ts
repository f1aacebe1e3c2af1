import type { Environment } from '../environment.ts'
import { type Problems, readBaseUrl } from './url.ts'

/** The service that keeps the balances. */
export interface AccountingConfig {
  /** Without trailing slash; for v1 also without /api. */
  readonly url: string
  readonly form: 'seed' | 'v1'
  /** For each call to it. */
  readonly timeoutMs: number
}

/** Who keeps the balances; undefined: the ledger of this gateway. */
export function readAccounting(values: Environment, problems: Problems): AccountingConfig | undefined {
  const form = values.ACCOUNTING_API === 'v1' ? 'v1' : 'seed'
  const ending = form === 'v1' ? /\/api$/ : /(?!)/
  const url = readBaseUrl('ACCOUNTING_SERVICE_URL', values.ACCOUNTING_SERVICE_URL, { ending, problems })
  if (url === undefined) return undefined
  if (!Number.isInteger(values.DEFAULT_CHATFLOW_PRICE))
    problems.push(
      'DEFAULT_CHATFLOW_PRICE must be whole credits with ACCOUNTING_SERVICE_URL: that service knows no others.'
    )
  return { url, form, timeoutMs: values.ACCOUNTING_TIMEOUT_MS }
}
