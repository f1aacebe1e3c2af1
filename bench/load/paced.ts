import { setTimeout as pause } from 'node:timers/promises'
import { Pool } from 'undici'
import { percentile } from '../statistics.ts'
import type { Lane, Requests } from '../targets.ts'

export interface PacedTask {
  requests: Requests
  perSecond: number
  seconds: number
}

export interface PacedResult {
  p50Ms: number
  p99Ms: number
}

/**
 * Requests at a fixed rate. The time counts from the moment a request was due, so that waiting for a free connection
 * counts too. @throws when one is refused
 */
export async function paced({ requests, perSecond, seconds }: PacedTask): Promise<PacedResult> {
  const { origin, pathname } = new URL(requests.url)
  const pool = new Pool(origin, { connections: requests.connections })
  const free = [...requests.lanes]
  const latencies: number[] = []
  const startedAt = performance.now()
  let sent = 0
  const failures: unknown[] = []

  async function send(lane: Lane, dueAt: number): Promise<void> {
    const { statusCode, body } = await pool.request({ method: 'POST', path: pathname, ...lane })
    const text = await body.text()
    if (statusCode !== 200) throw new Error(`${requests.url}: ${statusCode} ${text.slice(0, 300)}`)
    latencies.push(performance.now() - dueAt)
    free.push(lane)
  }

  const total = seconds * perSecond
  while (latencies.length < total && failures.length === 0) {
    const due = Math.min(total, ((performance.now() - startedAt) / 1000) * perSecond)
    for (let lane = free[0]; lane && sent < due; lane = free[0]) {
      free.shift()
      send(lane, startedAt + (sent / perSecond) * 1000).catch((error: unknown) => failures.push(error))
      sent += 1
    }
    await pause(1)
  }
  await pool.destroy()
  if (failures.length > 0) throw failures[0]
  return { p50Ms: percentile(latencies, 0.5), p99Ms: percentile(latencies, 0.99) }
}
