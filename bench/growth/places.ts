import { createSigner } from 'fast-jwt'
import { createIds } from '../../src/ids.ts'
import { copyOf, type Installation, install, JWT_SECRET } from '../gateway.ts'
import type { Setup } from '../setup.ts'
import { fill } from './fill.ts'
import type { Crowd, Size } from './rows.ts'

const NOTHING: Size = { accounts: 0, rows: 0, grants: 0 }
const HOUR_S = 3600

/** An installation and how much is in it beside the one who asks. */
export interface Place {
  installation: Installation
  size: Size
}

export interface Places {
  small: Place
  /** All of it, from little to everything. */
  steps: Place[]
  /** One of it at its largest, the rest small. */
  accounts: Place
  rows: Place
  grants: Place
  /** Access tokens of those with grants in the largest one. */
  crowdTokens: string[]
}

/** Installations of all sizes up to this one, each with the same one who asks. */
export async function makePlaces({ folder, upstreamUrl, say }: Setup, full: Size): Promise<Places> {
  const small = await install(folder, upstreamUrl, 1)
  const ids = createIds()
  const crowd: Crowd = {
    userIds: Array.from({ length: full.accounts }, () => ids.uuid()),
    askers: small.tokens.map(subjectOf),
    ids
  }

  async function grown(from: Place, added: Size): Promise<Place> {
    const size = { ...from.size }
    for (const what of ['accounts', 'rows', 'grants'] as const) size[what] += added[what]
    say(`An installation with ${describe(size)} is made`)
    const dataDir = await copyOf(from.installation)
    await fill(dataDir, added, { crowd, say })
    return { installation: { ...from.installation, dataDir }, size }
  }

  const start = { installation: small, size: NOTHING }
  const rows = await grown(start, { ...NOTHING, rows: full.rows })
  return {
    small: start,
    rows,
    steps: [
      await grown(start, scaled(full, 0.01)),
      await grown(start, scaled(full, 0.1)),
      await grown(rows, { ...full, rows: 0 })
    ],
    accounts: await grown(start, { ...NOTHING, accounts: full.accounts }),
    grants: await grown(start, { ...NOTHING, grants: full.grants }),
    crowdTokens: crowd.userIds.slice(0, full.grants).map(createSign())
  }
}

/** How much there is, in words. */
export function describe({ accounts, rows, grants }: Size): string {
  const parts = [
    [accounts, 'accounts'],
    [rows, 'ledger entries and messages'],
    [grants, 'grants']
  ] as const
  const said = parts.filter(([count]) => count > 0).map(([count, what]) => `${count.toLocaleString('en')} ${what}`)
  return said.length === 0 ? 'one account with its grant, nothing else' : said.join(', ')
}

function scaled({ accounts, rows, grants }: Size, by: number): Size {
  return { accounts: accounts * by, rows: rows * by, grants: grants * by }
}

/** A login hashes a password, which takes too long for thousands. */
function createSign(): (userId: string) => string {
  const sign = createSigner({ key: JWT_SECRET, algorithm: 'HS256' })
  const iat = Math.floor(Date.now() / 1000)
  return (id) =>
    sign({ sub: id, user_id: id, username: id, role: 'user', type: 'access', sid: id, iat, exp: iat + HOUR_S })
}

function subjectOf(token: string): string {
  const [, claims = ''] = token.split('.')
  const { sub }: { sub?: unknown } = JSON.parse(Buffer.from(claims, 'base64url').toString())
  return String(sub)
}
