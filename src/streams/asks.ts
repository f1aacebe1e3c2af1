import type { Bus } from '../bus/port.ts'
import type { Clock } from '../clock.ts'
import { AppError } from '../errors.ts'
import type { Ids } from '../ids.ts'
import { codeOf, LETTERS, type Reply, SILENT_MS, STAY_MS } from './letters.ts'
import type { Question } from './question.ts'

/** Where the frames from another process go. */
export interface RemoteSink {
  /** False: the client is too far behind. */
  write(text: string): boolean
  end(): void
  /** The rest cannot be had now; the client may come back for it. */
  cut(): void
}

export interface RemoteClient {
  /** Called with the first frames: the place for a head. */
  open(): RemoteSink
  /** Calls once when the client has left. */
  onLeave(listener: () => void): void
}

export interface RemoteStreams {
  /**
   * Follows a stream of another process. 'nobody' has it, 'nothing' is left of it, or it is 'followed'; then frames go to
   * the client until it leaves.
   * @throws too_many_followers, and what the other process refuses it with
   */
  follow(question: Question, client: RemoteClient): Promise<'nobody' | 'nothing' | 'followed'>
  /** Ends all of them; the clients may come back elsewhere. */
  close(): void
}

/** How long the process that has a stream may take to say so. */
const FOUND_WITHIN_MS = 500
/** Of one user at once: each asks every process. */
const MAX_ASKING = 20

/** Asks the other processes of the installation for their streams. */
export function createRemoteStreams({ bus, clock, ids }: { bus: Bus; clock: Clock; ids: Ids }): RemoteStreams {
  const conversations = new Map<string, { take(reply: Reply): void; cut(): void }>()
  const asking = new Map<string, number>()
  bus.subscribe(LETTERS.reply, (message) => {
    const reply: Reply = JSON.parse(message)
    conversations.get(reply.id)?.take(reply)
  })
  bus.watch(({ isUp }) => {
    if (!isUp) cutAll()
  })

  function cutAll(): void {
    for (const { cut } of conversations.values()) cut()
  }

  async function follow(question: Question, client: RemoteClient) {
    const { userId } = question
    const count = asking.get(userId) ?? 0
    if (count >= MAX_ASKING) throw new AppError('too_many_followers')
    asking.set(userId, count + 1)
    try {
      return await ask(question, client)
    } finally {
      const left = (asking.get(userId) ?? 1) - 1
      if (left > 0) asking.set(userId, left)
      else asking.delete(userId)
    }
  }

  return { follow, close: cutAll }

  function ask(question: Question, client: RemoteClient): ReturnType<RemoteStreams['follow']> {
    const id = ids.run()
    const outcome = Promise.withResolvers<'nobody' | 'nothing' | 'followed'>()
    let owner: string | undefined
    let expected = 0
    let sink: RemoteSink | undefined
    let cancelStay = () => {}
    let cancelSilence = clock.after(FOUND_WITHIN_MS, () => over(() => outcome.resolve('nobody')))

    function over(then: () => void): void {
      if (!conversations.delete(id)) return
      cancelStay()
      cancelSilence()
      then()
    }
    function leave(): void {
      over(() => {
        if (owner !== undefined) bus.send(owner, LETTERS.leave, id)
        outcome.resolve('nobody')
      })
    }
    /** Before the first frame nothing has been promised: there the client is told to come back. */
    function cut(): void {
      over(() => {
        if (owner !== undefined) bus.send(owner, LETTERS.leave, id)
        if (sink) sink.cut()
        else outcome.reject(new AppError('overloaded', { retryAfterSeconds: 1 }))
      })
    }
    function stay(): void {
      if (owner !== undefined) bus.send(owner, LETTERS.stay, id)
      cancelStay = clock.after(STAY_MS, stay)
    }
    function open(): RemoteSink {
      outcome.resolve('followed')
      sink ??= client.open()
      return sink
    }
    function take(reply: Reply): void {
      // Two may have it, an ended run and its copy: the first that answers is the one.
      if (owner !== undefined && reply.from !== owner) return bus.send(reply.from, LETTERS.leave, id)
      if (reply.number !== expected++) return cut()
      if (owner === undefined) {
        owner = reply.from
        cancelStay = clock.after(STAY_MS, stay)
      }
      cancelSilence()
      cancelSilence = clock.after(SILENT_MS, cut)
      if (reply.kind === 'nothing') over(() => outcome.resolve('nothing'))
      if (reply.kind === 'refused') over(() => outcome.reject(new AppError(codeOf(reply), { retryAfterSeconds: 2 })))
      if (reply.kind === 'frames' && !open().write(reply.text ?? '')) cut()
      if (reply.kind === 'end') over(() => open().end())
      if (reply.kind === 'cut') cut()
    }

    conversations.set(id, { take, cut })
    client.onLeave(leave)
    bus.publish(LETTERS.ask, JSON.stringify({ id, from: bus.instance, question }))
    return outcome.promise
  }
}
