import { type Clock, pause } from '../clock.ts'

/** Long enough to tell a stream from a parcel, short enough to be cheap. */
export const TEST_EVENTS = 5
export const TEST_GAP_MS = 200

/** How the gateway sees whoever asked; nothing that they could not know of themselves. */
export interface SeenCaller {
  /** The address that limits count by. */
  address: string
  /** Addresses in X-Forwarded-For, believed or not. */
  forwarded: number
  /** How many of them are believed. */
  believed: number
}

export interface TestEvent {
  number: number
  /** Since the first one, by the gateway's clock. */
  sentMs: number
  caller: SeenCaller
}

/** Events at known times, framed as those of a prediction. Touches nothing but the clock. */
export async function* createTestStream(clock: Clock, caller: SeenCaller): AsyncGenerator<string> {
  const startedAt = clock.now()
  for (let number = 1; number <= TEST_EVENTS; number++) {
    if (number > 1) await pause(clock, TEST_GAP_MS)
    const sentMs = clock.now() - startedAt
    const data = { event: 'tick', number, of: TEST_EVENTS, sent_ms: sentMs, caller }
    yield `id: ${number}\nevent: tick\ndata: ${JSON.stringify(data)}\n\n`
  }
  yield 'event: end\ndata: {"event":"end","data":"[DONE]"}\n\n'
}

/** The event that a frame carries; undefined for what is no tick. */
export function readTestEvent(frame: string): TestEvent | undefined {
  const [, json] = /^data: ?(\{"event":"tick".*\})$/m.exec(frame) ?? []
  if (json === undefined) return undefined
  try {
    // What calls itself a tick may come from anywhere; every member is looked at.
    const { number, sent_ms: sentMs, caller } = JSON.parse(json) as Partial<Record<string, unknown>>
    const { address, forwarded, believed } = Object(caller) as Partial<Record<string, unknown>>
    if (typeof number !== 'number' || typeof sentMs !== 'number') return undefined
    if (typeof address !== 'string' || typeof forwarded !== 'number' || typeof believed !== 'number') return undefined
    return { number, sentMs, caller: { address, forwarded, believed } }
  } catch {
    return undefined
  }
}
