import autocannon, { type Client, type Result } from 'autocannon'
import { percentile } from '../statistics.ts'
import type { Requests } from '../targets.ts'

export interface SaturateTask {
  requests: Requests
  /** A number and not a time: then none is cut off in the middle, and each counts in full. */
  amount: number
  /** The status of every answer, by default 200. */
  status?: number
}

export interface SaturateResult {
  seconds: number
  p50Ms: number
  p99Ms: number
}

/** Seconds until an answer counts as lost: a store that is slow makes the last of many connections wait for long. */
const asked = { method: 'POST', timeout: 60 } as const

/** One request after the other on each connection, as fast as they are answered. @throws when one is answered otherwise */
export async function saturate({ requests, amount, status = 200 }: SaturateTask): Promise<SaturateResult> {
  const { url, lanes, connections } = requests
  const takesTurns = lanes.length > connections
  const latencies: number[] = []
  const startedAt = performance.now()
  let endedAt = startedAt
  let next = 0
  const others = new Map<number, number>()
  const { errors } = await new Promise<Result>((resolve, reject) => {
    const run = autocannon({ ...asked, url, connections, amount, setupClient }, (error, result) =>
      error ? reject(error) : resolve(result)
    )
    // The totals of autocannon are in whole milliseconds and whole seconds.
    run.on('response', (client, answered, _bytes, ms) => {
      latencies.push(ms)
      endedAt = performance.now()
      if (answered !== status) others.set(answered, (others.get(answered) ?? 0) + 1)
      if (takesTurns) setupClient(client)
    })
  })
  if (others.size > 0 || errors > 0) {
    const seen = [...others].map(([answered, count]) => `${count} times ${answered}`)
    throw new Error(`${url}: ${[...seen, `${errors} without an answer`].join(', ')}, and not always ${status}.`)
  }
  return {
    seconds: (endedAt - startedAt) / 1000,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99)
  }

  function setupClient(client: Client): void {
    const { headers, body } = lanes[next % lanes.length] ?? { headers: {}, body: '' }
    next += 1
    client.setHeadersAndBody(headers, body)
  }
}
