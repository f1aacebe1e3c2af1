import t from 'tap'
import { buildExternalApp, ME, nextSecond, REVOKE } from '../auth/external-app.ts'
import type { ServiceFault, ServiceUser } from '../stand-in/auth-service.ts'

const USERS = 6
const ROUNDS = 12
const FAULTS: ServiceFault[] = [{ status: 500 }, { reset: true }, { lose: true }, { body: '<html>' }]
/** What a client may be told in all this: never a fault of the gateway. */
const EXPECTED = new Set([200, 401, 404, 503])

t.test(
  'logins, refreshes and logouts at once, with a service that fails: what was revoked stays revoked',
  async (t) => {
    const { service, enter, refresh, request } = await buildExternalApp(t)
    const people = Array.from({ length: USERS }, () => ({ user: service.add(), access: new Set<string>(), latest: '' }))
    const statuses = new Set<number>()
    const wrongOwners: string[] = []

    async function live(
      { user, access, ...person }: { user: ServiceUser; access: Set<string>; latest: string },
      n: number
    ) {
      let { latest } = person
      const keep = (reply: Awaited<ReturnType<typeof enter>>) => {
        statuses.add(reply.statusCode)
        if (reply.statusCode !== 200) return
        const { access_token: token, refresh_token, user: shown } = reply.json()
        if (shown.id !== user.id) wrongOwners.push(shown.id)
        access.add(token)
        latest = refresh_token
      }
      for (let round = 0; round < ROUNDS; round++) {
        if ((n + round) % 5 === 0) service.next('/refresh', FAULTS[round % FAULTS.length] ?? {})
        const [one, other] = await Promise.all([enter(user), latest ? refresh(latest) : enter(user)])
        keep(one)
        keep(other)
        const token = [...access].at(-1)
        if (round % 3 === 2 && token !== undefined)
          statuses.add((await request('POST', REVOKE, { token, body: { token_id: latest } })).statusCode)
      }
    }

    await Promise.all(people.map(live))
    t.strictSame(
      [...statuses].filter((status) => !EXPECTED.has(status)),
      []
    )
    t.strictSame(wrongOwners, [])

    await nextSecond()
    for (const { user, access } of people) {
      const fresh = (await enter(user)).json().access_token
      t.equal((await request('GET', ME, { token: fresh })).statusCode, 200)
      await request('POST', REVOKE, { token: fresh, body: { all_tokens: true } })
      const replies = await Promise.all([...access, fresh].map((token) => request('GET', ME, { token })))
      t.strictSame(replies.filter(({ statusCode }) => statusCode !== 401).length, 0, `${access.size} tokens`)
    }
  }
)
