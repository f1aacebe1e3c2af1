import { Redis } from 'ioredis'
import type { RedisAddress } from '../bus/redis-address.ts'
import { type Finding, reportOn } from './finding.ts'

const TIMEOUT_MS = 3000
const OLDEST_MAJOR = 6

/** Whether Redis answers, and is set to keep what it is told. Writes nothing. */
export async function probeRedis({ name, options, reasonOf }: RedisAddress): Promise<Finding[]> {
  const redis = new Redis({
    ...options,
    lazyConnect: true,
    connectTimeout: TIMEOUT_MS,
    commandTimeout: TIMEOUT_MS,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null
  })
  let cause: unknown
  redis.on('error', (error) => {
    cause = error
  })
  try {
    await redis.connect()
    await redis.ping()
    return judgeRedis(await redis.info(), name)
  } catch (error) {
    const next = 'check REDIS_URL, its password and the network'
    // The connection says why; the command only that there is none.
    return [reportOn('redis')('fail', `no answer from ${name}: ${reasonOf(cause ?? error)}`, { next })]
  } finally {
    redis.disconnect()
  }
}

/** The findings of what Redis says about itself. */
export function judgeRedis(info: string, where: string): Finding[] {
  const report = reportOn('redis')
  const member = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1]
  const version = member('redis_version') ?? 'of unknown version'
  const policy = member('maxmemory_policy') ?? 'noeviction'
  const findings = [report('ok', `Redis ${version} at ${where}`)]
  if (Number.parseInt(version, 10) < OLDEST_MAJOR)
    findings.push(report('warn', `Redis ${version} is old`, { next: 'update to a version that is still maintained' }))
  if (policy !== 'noeviction')
    findings.push(
      report('warn', `a full Redis forgets limits and session leases (maxmemory-policy ${policy})`, {
        next: 'set maxmemory-policy noeviction, or give the gateway a Redis of its own'
      })
    )
  if (member('role') === 'slave')
    findings.push(
      report('fail', 'this is a replica, which takes no writes', { next: 'point REDIS_URL at the primary' })
    )
  return findings
}
