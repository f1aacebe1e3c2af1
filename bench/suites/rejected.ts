import { setTimeout as pause } from 'node:timers/promises'
import { type Candidate, gatewayOn } from '../candidates.ts'
import { AFTER_MS, answersOf } from './answers.ts'
import { cpuDuring, type Suite } from './suite.ts'

const amountOf = (isQuick: boolean): number => (isQuick ? 1500 : 3000)
/** What is answered, by candidate. */
const STATUS: Record<string, number> = { accepted: 200, 'bad-token': 401, 'no-grant': 403, 'no-credit': 402 }
const goal = { metric: 'cpu', to: 'accepted', atMost: 0.5, digits: 2 } as const

/** What a request costs that gets no answer of Flowise. */
export const rejectedSuite: Suite = {
  title: 'Rejected requests',
  text: (isQuick) =>
    `${amountOf(isQuick)} requests on \`/chat/predict\` per round over 64 connections, all refused for the same reason, beside as many that are answered. ` +
    'A bad token is a good one with another signature.',
  metrics: [
    { key: 'cpu', title: 'CPU, µs per request', digits: 1, ratioTo: 'accepted' },
    { key: 'rate', title: 'requests/s', digits: 0, ratioTo: 'accepted' }
  ],
  goals: [
    { what: 'CPU of a request with a bad token, of an accepted one', of: 'bad-token', ...goal },
    { what: 'the same without a grant', of: 'no-grant', ...goal },
    { what: 'the same without credit', of: 'no-credit', ...goal }
  ],
  isFresh: false,

  async candidates({ upstreamUrl, installation: install }) {
    const installation = await install()
    const { tokens, poor, stranger } = installation
    const asked = (name: string, title: string, by: readonly string[]): Candidate =>
      gatewayOn(upstreamUrl, { name, title, form: 'gateway', installation, tokens: by })
    return [
      asked('accepted', 'accepted', tokens),
      asked('bad-token', 'bad token (401)', tokens.map(tampered)),
      asked('no-grant', 'no grant (403)', [stranger]),
      asked('no-credit', 'no credit (402)', [poor])
    ]
  },

  async warmUp(bench, running, { name }) {
    await bench.ask('saturate', {
      requests: answersOf(running),
      amount: amountOf(bench.isQuick),
      status: STATUS[name] ?? 200
    })
  },

  async measure(bench, running, { name }) {
    const amount = amountOf(bench.isQuick)
    let rate = 0
    const cpu = await cpuDuring(running, async () => {
      const { seconds } = await bench.ask('saturate', {
        requests: answersOf(running),
        amount,
        status: STATUS[name] ?? 200
      })
      rate = amount / seconds
      await pause(AFTER_MS)
    })
    return { cpu: (cpu ?? 0) / amount, rate }
  }
}

/** The first character of the signature, because the last one has bits that mean nothing. */
function tampered(token: string): string {
  const at = token.lastIndexOf('.') + 1
  return `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`
}
