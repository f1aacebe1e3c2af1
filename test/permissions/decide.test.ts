import t from 'tap'
import { type Decision, decide } from '../../src/permissions/decide.ts'

const granted = { isActive: true }
const revoked = { isActive: false }

const rows: [
  status: 'active' | 'error' | 'deleted' | undefined,
  grant: typeof granted | undefined,
  isAdmin: boolean,
  Decision
][] = [
  [undefined, undefined, false, 'chatflow_not_found'],
  [undefined, granted, false, 'chatflow_not_found'],
  [undefined, granted, true, 'chatflow_not_found'],
  ['deleted', undefined, false, 'chatflow_not_found'],
  ['deleted', granted, false, 'chatflow_not_found'],
  ['deleted', granted, true, 'chatflow_not_found'],
  ['active', undefined, false, 'chatflow_forbidden'],
  ['active', revoked, false, 'chatflow_forbidden'],
  ['active', granted, false, 'allowed'],
  ['active', undefined, true, 'allowed'],
  ['active', revoked, true, 'allowed'],
  ['error', undefined, false, 'chatflow_forbidden'],
  ['error', granted, false, 'allowed'],
  ['error', undefined, true, 'allowed']
]

for (const [status, grant, isAdmin, expected] of rows) {
  const who = isAdmin ? 'an admin' : 'a user'
  const having = grant ? (grant.isActive ? 'a grant' : 'a revoked grant') : 'no grant'
  t.test(`${who} with ${having} on a chatflow that is ${status ?? 'unknown'}: ${expected}`, async (t) => {
    t.equal(decide({ chatflow: status && { status }, grant, isAdmin }), expected)
  })
}
