import autocannon, { type Client, type Result } from 'autocannon'
import { percentile } from '../statistics.ts'
import type { Requests } from '../targets.ts'

export interface SaturateTask {
  requests: Requests
  /** A number and not a time: then none is cut off in the middle, and each counts in full. */
  amount: number
}

export interface SaturateResult {
  seconds: number
  p50Ms: number
  p99Ms: number
}

/** One request after the other on each connection, as fast as they are answered. @throws when one is refused */
export async function saturate({ requests, amount }: SaturateTask): Promise<SaturateResult> {
  const { url, lanes } = requests
  const latencies: number[] = []
  const startedAt = performance.now()
  let endedAt = startedAt
  let next = 0
  const { non2xx, errors } = await new Promise<Result>((resolve, reject) => {
    const run = autocannon({ url, connections: lanes.length, amount, method: 'POST', setupClient }, (error, result) =>
      error ? reject(error) : resolve(result)
    )
    // The totals of autocannon are in whole milliseconds and whole seconds.
    run.on('response', (_client, _status, _bytes, ms) => {
      latencies.push(ms)
      endedAt = performance.now()
    })
  })
  if (non2xx + errors > 0) throw new Error(`${url}: ${non2xx} requests were refused, ${errors} failed.`)
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
