import { setTimeout as wait } from 'node:timers/promises'
import type { Asked, Journal } from './journal.ts'
import type { Send } from './load-balancer.ts'
import { isWorthRepeating, readPrediction, type Seen } from './prediction-reply.ts'
import { type Plan, questionOf } from './question.ts'
import type { Random } from './random.ts'

export interface User {
  id: string
  token: string
}

export interface UserOptions {
  user: User
  number: number
  chatflowId: string
  send: Send
  random: Random
  journal: Journal
  /** Mean pause between two actions. */
  thinkMs: number
  /** Begin nothing new. */
  isOver: () => boolean
  /** Aborted when it is over: who is thinking thinks no longer. */
  over: AbortSignal
  /** Repeat nothing any more (epoch ms). */
  giveUpAt: () => number
}

/** Longer and longer pauses: gateways that have fallen behind must be able to catch up. */
const LONGEST_PAUSE_MS = 15_000
const REMEMBERED_SESSIONS = 5

/** What a client does when its stream has so much text: never anything, mostly. */
type Interruption = { kind: 'none' } | { kind: 'leave' | 'stop'; afterCharacters: number }

/** Acts as one user until it is over, and until each keyed question has its answer. */
export async function actAsUser(options: UserOptions): Promise<void> {
  const { user, number, chatflowId, send, random, journal, thinkMs, isOver, over, giveUpAt } = options
  const { token } = user
  const repeating: Promise<void>[] = []
  let sessions: string[] = []
  let count = 0

  const newPlan = (): Plan => ({
    id: `q${number}-${++count}`,
    ...random.pick([
      [90, { tokens: 3 + random.below(10), pauseMs: 20 + random.below(130) }],
      // Long enough for a renewal of its lease.
      [10, { tokens: 40, pauseMs: 600 }]
    ]),
    ending: random.pick([
      [90, 'end'],
      [4, 'fail'],
      [3, 'error'],
      [3, 'cut']
    ])
  })

  async function ask(): Promise<void> {
    const plan = newPlan()
    const key = random.chance(0.6) ? `key-${plan.id}` : undefined
    const isStream = random.chance(0.6)
    const continued = random.chance(0.5) ? sessions.at(random.below(sessions.length)) : undefined
    const asked: Asked = { userId: user.id, plan, key, isStream, tries: [], isStopped: false }
    const body = {
      chatflow_id: chatflowId,
      question: questionOf(plan),
      streaming: isStream,
      ...(continued === undefined ? {} : { sessionId: continued })
    }
    journal.asked.push(asked)
    const isTwice = key !== undefined && random.chance(0.08)
    const tries = isTwice ? [predict(asked, body), predict(asked, body)] : [predict(asked, body)]
    const seen = await Promise.all(tries)
    const best = seen.find(({ isComplete }) => isComplete) ?? seen[0]
    if (best && key !== undefined && isWorthRepeating(best)) repeating.push(repeat(asked, body, best))
    else if (best) remember(best)
  }

  /** A key may have to wait until its process counts as dead: meanwhile the user goes on. */
  async function repeat(asked: Asked, body: unknown, first: Seen): Promise<void> {
    let last = first
    for (let tries = 1; isWorthRepeating(last) && Date.now() < giveUpAt(); tries++) {
      await wait(Math.min(last.retryAfterMs * 1.5 ** tries, LONGEST_PAUSE_MS) * (0.5 + random.next()))
      journal.count('keyed repetitions')
      last = await predict(asked, body)
    }
    remember(last)
  }

  function remember({ sessionId }: Seen): void {
    if (sessionId !== undefined) sessions = [...sessions, sessionId].slice(-REMEMBERED_SESSIONS)
  }

  async function predict(asked: Asked, body: unknown): Promise<Seen> {
    const interruption = interruptionOf(asked)
    const errands: Promise<unknown>[] = []
    let isDone = interruption.kind === 'none'
    const reply = await send({
      method: 'POST',
      path: '/chat/predict',
      token,
      body,
      ...(asked.key === undefined ? {} : { key: asked.key }),
      watch(text, status) {
        if (isDone || interruption.kind === 'none' || status !== 200) return false
        if (text.length < interruption.afterCharacters) return false
        isDone = true
        journal.count(interruption.kind === 'leave' ? 'clients that left' : 'stops')
        if (interruption.kind === 'stop') {
          asked.isStopped = true
          errands.push(stop(text))
        }
        return interruption.kind === 'leave'
      }
    })
    await Promise.all(errands)
    const seen = readPrediction(reply)
    asked.tries.push(seen)
    journal.count(`predictions: ${seen.kind === 'whole' ? (seen.code ?? 'answered') : seen.kind}`)
    return seen
  }

  function interruptionOf({ isStream, tries }: Asked): Interruption {
    if (!isStream || tries.length > 0) return { kind: 'none' }
    const afterCharacters = 150 + random.below(800)
    return random.pick<Interruption>([
      [75, { kind: 'none' }],
      [15, { kind: 'leave', afterCharacters }],
      [10, { kind: 'stop', afterCharacters }]
    ])
  }

  async function stop(text: string): Promise<void> {
    const sessionId = /"event":"session_id","data":"([^"]+)"/.exec(text)?.[1]
    if (sessionId === undefined) return
    await send({ method: 'POST', path: `/chat/sessions/${sessionId}/stop`, token })
  }

  async function forgetSession(): Promise<void> {
    const sessionId = sessions.at(random.below(sessions.length))
    if (sessionId === undefined) return
    // Whatever is answered, it may have happened.
    journal.deleted.add(sessionId)
    const { status } = await send({ method: 'DELETE', path: `/chat/sessions/${sessionId}`, token })
    journal.count(`deletions of sessions: ${status}`)
  }

  async function look(): Promise<void> {
    const { kind, status, text } = await send({ method: 'GET', path: '/chat/credits', token })
    if (kind !== 'whole' || status !== 200) return
    const { credits_remaining: remaining, credits_held: held } = JSON.parse(text)
    if (remaining < 0 || held < 0) journal.complaints.push(`${user.id} was shown ${text}`)
  }

  const think = (ms: number) => wait(ms, undefined, { signal: over }).catch(() => undefined)
  await think(random.next() * thinkMs)
  while (!isOver()) {
    const act = random.pick([
      [90, ask],
      [4, forgetSession],
      [6, look]
    ])
    await act()
    if (!isOver()) await think(random.pauseMs(thinkMs))
  }
  await Promise.all(repeating)
}
