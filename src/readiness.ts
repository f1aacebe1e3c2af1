import type { Clock } from './clock.ts'

export type Check = 'ok' | 'down'

export interface ReadinessOptions<Name extends string> {
  /** One question per dependency; it resolves when the dependency answers. */
  probes: Record<Name, () => Promise<void>>
  clock: Clock
  /** A dependency that is silent for so long is down. */
  timeoutMs?: number
  /** How long one answer counts, so that many askers cannot hammer the dependencies. */
  cacheMs?: number
}

/** Asks all dependencies at once; askers within `cacheMs` share one answer. Never rejects. */
export function createReadiness<Name extends string>(options: ReadinessOptions<Name>) {
  const { probes, clock, timeoutMs = 2000, cacheMs = 1000 } = options
  let latest: { at: number; checks: Promise<Record<Name, Check>> } | undefined

  async function probe(ask: () => Promise<void>): Promise<Check> {
    const answer = Promise.withResolvers<Check>()
    const cancel = clock.after(timeoutMs, () => answer.resolve('down'))
    ask().then(
      () => answer.resolve('ok'),
      () => answer.resolve('down')
    )
    const check = await answer.promise
    cancel()
    return check
  }

  async function askAll(): Promise<Record<Name, Check>> {
    const names = Object.keys(probes) as Name[]
    const checks = await Promise.all(names.map(async (name) => [name, await probe(probes[name])] as const))
    return Object.fromEntries(checks) as Record<Name, Check>
  }

  return async function readiness(): Promise<Record<Name, Check>> {
    const now = clock.now()
    if (!latest || now - latest.at >= cacheMs) latest = { at: now, checks: askAll() }
    return latest.checks
  }
}
