import { connect, type Socket } from 'node:net'
import type { Protocol, WireRequest } from './wire-message.ts'

/**
 * What becomes of a request.
 * `lose-request`: the connection is cut, the server never hears of it.
 * `lose-answer`: the server carries it out, and the connection is cut instead of the answer.
 * `delayAnswer`: the server carries it out, the answer waits.
 * `delayRequest`: it waits before the server, and gets there also if its sender has gone meanwhile.
 * `landLate`: the connection is cut at once, and the server carries it out later.
 * `undecided`: it waits before the server until it is known which of these it will be; `answered` tells that the server has
 * answered it, or will never hear of it.
 */
export type Fate =
  | 'pass'
  | 'lose-request'
  | 'lose-answer'
  | { delayAnswer: Promise<unknown> }
  | { delayRequest: Promise<unknown> }
  | { landLate: Promise<unknown> }
  | { undecided: Promise<Fate>; answered(): void }

export interface Route {
  protocol: Protocol
  target: { host: string; port: number }
  decide(request: WireRequest): Fate
  /** Told of each request that does not simply pass; resolves when the server has answered it, or is gone. */
  keep(landing: Promise<void>): void
}

/** Joins a client with a connection of its own to the server, which is the result. */
export function joinServer(client: Socket, { protocol, target, decide, keep }: Route): Socket {
  const server = connect(target)
  const atAnswer = new Map<number, (answer: Buffer) => Promise<void>>()
  let unanswered = 0
  let isCut = false

  const cut = () => {
    isCut = true
    client.resetAndDestroy()
  }
  const giveBack = async (answer: Buffer) => {
    if (!client.destroyed) client.write(answer)
  }
  // Ended, not destroyed: what is on its way to the server arrives.
  const leave = () => {
    if (client.destroyed && unanswered === 0) server.end()
  }

  /** Counts a request as under way; call the result when it is answered or dropped. */
  function expect(fate: Fate): () => void {
    const { promise, resolve } = Promise.withResolvers<void>()
    unanswered++
    keep(promise)
    server.once('close', resolve)
    promise.then(() => {
      server.off('close', resolve)
      unanswered--
      leave()
      if (typeof fate === 'object' && 'undecided' in fate) fate.answered()
    })
    return resolve
  }

  async function forward(request: Buffer, fate: Fate, answered: () => void): Promise<void> {
    // What was sent behind a request that cost the connection is lost with it.
    if (isCut) return answered()
    if (typeof fate === 'object' && 'undecided' in fate) {
      const decided = await fate.undecided
      // Its answer is waited for in any case.
      return forward(request, decided === 'pass' ? { delayAnswer: Promise.resolve() } : decided, answered)
    }
    if (fate === 'pass') return void server.write(request)
    if (fate === 'lose-request') {
      cut()
      return answered()
    }
    atAnswer.set(protocol.requestId(request), async (answer) => {
      answered()
      if (fate === 'lose-answer') return cut()
      if ('delayAnswer' in fate) await fate.delayAnswer
      await giveBack(answer)
    })
    if (typeof fate === 'object' && 'landLate' in fate) cut()
    await reasonToWait(fate)
    server.write(request)
  }

  /** Whole messages of one direction, each dealt with when the one before is. */
  function listen(socket: Socket, deal: (message: Buffer) => () => Promise<void>): { whenDone(): Promise<void> } {
    const messagesOf = protocol.createFraming()
    let done = Promise.resolve()
    socket.on('data', (piece: Buffer) => {
      for (const message of messagesOf(piece)) done = done.then(deal(message))
    })
    return { whenDone: () => done }
  }

  listen(client, (message) => {
    const request = protocol.describe(message)
    // Decided as it arrives, so that the order of decisions is the order of requests.
    const fate = request === undefined ? 'pass' : decide(request)
    const answered = fate === 'pass' ? () => {} : expect(fate)
    return () => forward(message, fate, answered)
  })
  const answers = listen(server, (message) => {
    const id = protocol.answeredId(message)
    const act = atAnswer.get(id) ?? giveBack
    atAnswer.delete(id)
    return () => act(message)
  })
  client.on('error', () => {}).once('close', leave)
  // What the server still said goes first.
  server.on('error', () => {}).once('close', () => void answers.whenDone().then(() => client.destroy()))
  return server
}

function reasonToWait(fate: Fate): Promise<unknown> | undefined {
  if (typeof fate !== 'object') return undefined
  if ('landLate' in fate) return fate.landLate
  return 'delayRequest' in fate ? fate.delayRequest : undefined
}
