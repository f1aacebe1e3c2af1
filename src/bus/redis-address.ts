import type { RedisOptions } from 'ioredis'

const DATABASE = /^\/?(\d{0,4})$/
const DEFAULT_PORT = 6379
const MAX_REASON = 200

/** Where a Redis is and who may use it, for the driver and, without what is secret, for people. */
export interface RedisAddress {
  options: Pick<RedisOptions, 'host' | 'port' | 'username' | 'password' | 'db' | 'tls'>
  /** host:port */
  name: string
  /** What went wrong, in words that hold no secret and fit into a line. */
  reasonOf(error: unknown): string
}

/**
 * Reads `redis[s]://[user[:password]@]host[:port][/database]`. By hand, because the driver takes any of its options
 * from the query of a URL, and what bounds its waiting and its queues is not the operator's to change.
 * Throws a sentence for the operator.
 */
export function readRedisAddress(text: string): RedisAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const database = DATABASE.exec(url?.pathname ?? '')?.[1]
  const username = decoded(url?.username)
  const password = decoded(url?.password)
  const isPlain = url && url.hostname !== '' && url.search === '' && url.hash === ''
  if (!isPlain || database === undefined || username === undefined || password === undefined)
    throw new Error('REDIS_URL cannot be used: it must be redis[s]://[user:password@]host[:port][/database number].')
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port)
  return {
    name: `${url.hostname}:${port}`,
    options: {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port,
      db: Number(database),
      ...(username === '' ? {} : { username }),
      ...(password === '' ? {} : { password }),
      ...(url.protocol === 'rediss:' ? { tls: {} } : {})
    },
    reasonOf(error) {
      const { code, message } = Object(error)
      const said = typeof code === 'string' ? code : String(message ?? error)
      // A server that does not know a command repeats its arguments, and the password is one of them.
      const safe = password === '' ? said : said.replaceAll(password, '***')
      return safe.replace(/\s+/g, ' ').trim().slice(0, MAX_REASON)
    }
  }
}

function decoded(part = ''): string | undefined {
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
}
