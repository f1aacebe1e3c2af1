import { setTimeout as pause } from 'node:timers/promises'
import * as fc from 'fast-check'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import type { Send } from '../helper.ts'
import { open, type Wire } from '../prediction/tools.ts'
import type { StandIn } from '../stand-in/flowise.ts'
import { heard, lastIdOf, resumer, wholeEvents } from './resume.ts'

type Step =
  | { kind: 'say' }
  | { kind: 'stop' }
  | { kind: 'leave'; reader: number }
  | { kind: 'come'; reader: number; instance: number; isFresh: boolean }
  | { kind: 'pause'; ms: number }

/** One prediction: what Flowise says, how it ends, and what its clients do meanwhile. */
export interface Plan {
  words: number
  /** Whether the first client waits for the first word before anything else happens. */
  isPatient: boolean
  end: 'once' | 'cut' | 'close' | 'none' | 'error'
  steps: Step[]
  /** Whether Flowise goes on in the end, or falls silent. */
  isFinished: boolean
}

const READERS = 3

const kind = <K extends Step['kind']>(name: K) => fc.constant(name)
const reader = fc.nat(READERS - 1)
const STEPS: { weight: number; arbitrary: fc.Arbitrary<Step> }[] = [
  { weight: 10, arbitrary: fc.record({ kind: kind('say') }) },
  { weight: 6, arbitrary: fc.record({ kind: kind('leave'), reader }) },
  {
    weight: 8,
    arbitrary: fc.record({ kind: kind('come'), reader, instance: fc.nat(7), isFresh: fc.boolean() })
  },
  { weight: 3, arbitrary: fc.record({ kind: kind('pause'), ms: fc.nat(100) }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('stop') }) }
]

/** Any of them. */
export const plans: fc.Arbitrary<Plan> = fc.record({
  words: fc.integer({ min: 1, max: 12 }),
  isPatient: fc.boolean(),
  end: fc.constantFrom('once', 'once', 'once', 'cut', 'close', 'none', 'error'),
  steps: fc.array(fc.oneof(...STEPS), { minLength: 6, maxLength: 24 }),
  isFinished: fc.boolean()
})

export interface Stage {
  standIn: StandIn
  request: Send
  token: string
  /** Of the instances; the first is asked, all are followed. */
  urls: string[]
}

export interface Played {
  sessionId: string
  messageId: string | undefined
  said: string
  /** What each reader was told, reply by reply. */
  readers: string[][]
}

/** Plays one plan in a session of its own; what is told of it afterwards comes from `finish`. */
export async function play(stage: Stage, plan: Plan, sessionId: string): Promise<Played> {
  const { standIn, request, token, urls } = stage
  const words = Array.from({ length: plan.words }, (_, n) => `${sessionId}.${n} `)
  const error = plan.end === 'error' ? [['error', 'of a provider'] as const] : []
  const gates = Object.fromEntries(words.map((_, n) => [n, `${sessionId}:${n}`]))
  const fault = {
    events: [...words.map((word) => ['token', word] as const), ...error],
    gates: { ...gates, end: `${sessionId}:end` },
    end: plan.end === 'error' ? ('open' as const) : plan.end
  }
  const resumers = urls.map((url) => resumer(url, token))
  const question = JSON.stringify({ fault })
  const body = { chatflow_id: DEMO_IDS.echo, question, sessionId }
  const wires: (Wire | undefined)[] = [open(`${urls[0]}/api/v1/chat/predict/stream`, { token, body })]
  const readers: string[][] = Array.from({ length: READERS }, () => [])
  let opened = 0
  let messageId: string | undefined

  function leave(reader: number): void {
    const wire = wires[reader]
    wire?.leave()
    if (wire) readers[reader]?.push(wire.text())
    wires[reader] = undefined
    messageId ??= messageIn(readers)
  }

  async function say(): Promise<void> {
    standIn.gate(`${sessionId}:${opened++}`).open()
    // So that words come one by one.
    await pause(4)
  }

  if (plan.isPatient) {
    await say()
    await wires[0]?.until(/"token"/).catch(() => {})
    messageId = messageIn([[wires[0]?.text() ?? '']])
  }
  for (const step of plan.steps) {
    if (step.kind === 'say') await say()
    else if (step.kind === 'pause') await pause(step.ms)
    else if (step.kind === 'stop') await request('POST', `/api/v1/chat/sessions/${sessionId}/stop`, { token })
    else if (step.kind === 'leave') leave(step.reader)
    else if (step.kind === 'come') {
      leave(step.reader)
      const after = step.isFresh ? undefined : lastIdOf(lastOf(readers[step.reader]))
      const resume = resumers[step.instance % urls.length]
      const byMessage = messageId !== undefined && (after !== undefined || step.isFresh)
      const wire = resume?.(messageId ?? '', byMessage ? { after } : { session: sessionId })
      wires[step.reader] = wire
      await Promise.race([wire?.head, pause(50)])
    }
  }
  if (plan.isFinished) {
    for (let n = 0; n < plan.words; n++) standIn.gate(`${sessionId}:${n}`).open()
    standIn.gate(`${sessionId}:end`).open()
  }
  await Promise.all(wires.map(async (wire) => wire?.ended.catch(() => {})))
  for (const reader of readers.keys()) leave(reader)
  return { sessionId, messageId: messageId ?? messageIn(readers), said: words.join(''), readers }
}

/** Reads the rest for everybody, as clients do that come back until there is nothing left. */
export async function finish({ urls, token }: Stage, { messageId, readers }: Played): Promise<void> {
  if (messageId === undefined) return
  for (const [index, reader] of readers.entries()) {
    const resume = resumer(urls[index % urls.length] ?? '', token)
    const wire = resume(messageId, { after: lastIdOf(lastOf(reader)) })
    const { status } = await wire.head
    if (status === 200) reader.push(await wire.ended)
  }
}

/** What a reader has in the end, and the last event that it was told. */
export function outcomeOf(reader: string[]): { text: string; last: string | undefined; ends: number } {
  const events = reader.flatMap(wholeEvents)
  const sinceBeginning = events.slice(events.findLastIndex(({ event }) => event === 'session_id'))
  const ends = sinceBeginning.filter(({ event }) => event === 'end').length
  return { text: heard(...reader), last: events.at(-1)?.event, ends }
}

function lastOf(reader: string[] | undefined): string {
  return reader?.findLast((text) => lastIdOf(text) !== undefined) ?? ''
}

function messageIn(readers: string[][]): string | undefined {
  for (const text of readers.flat()) {
    const first = wholeEvents(text).find(({ event }) => event === 'session_id')
    if (first) return String(first.data.message_id)
  }
  return undefined
}
