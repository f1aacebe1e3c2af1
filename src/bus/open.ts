import type { Clock } from '../clock.ts'
import type { Ids } from '../ids.ts'
import type { Store } from '../store/port.ts'
import { installationId } from './installation.ts'
import { createLocalBus } from './local.ts'
import type { Bus } from './port.ts'

export interface OpenBusOptions {
  /** Undefined: there is only one process. */
  redisUrl: string | undefined
  store: Store
  clock: Clock
  ids: Ids
}

/** The bus of this installation. Throws a sentence for the operator when Redis is configured and cannot be used. */
export async function openBus({ redisUrl, store, clock, ids }: OpenBusOptions): Promise<Bus> {
  if (redisUrl === undefined) return createLocalBus(clock)
  // Not before it is needed: the driver is large, and most gateways are alone.
  const { openRedisBus } = await import('./redis.ts')
  const prefix = `flowise-gateway:${await installationId(store, ids)}`
  return openRedisBus({ url: redisUrl, prefix, instance: ids.run(), clock })
}
