import type { Agent } from 'undici'
import type { Clock } from '../clock.ts'
import { readBytes, within } from '../short-call.ts'
import { createOpen, type FlowiseAddress, segment, sizeLimit, timeLimit, toAppError } from './call.ts'
import { createRemembered } from './remembered.ts'

/** A small picture; the type is what its bytes are, whatever Flowise calls them. */
export interface Icon {
  mime: 'image/svg+xml' | 'image/png' | 'image/jpeg' | 'image/gif'
  bytes: Buffer
}

export interface IconOptions {
  clock: Clock
  timeoutMs: number
}

const MAX_BYTES = 262_144
const TTL_MS = 60_000
const MAX_ICONS = 200
const MAX_HEAD = 4096

/** First bytes, read as Latin-1. */
const SIGNATURES: readonly [Icon['mime'], string][] = [
  ['image/png', '\u0089PNG\r\n\u001a\n'],
  ['image/jpeg', '\u00ff\u00d8\u00ff'],
  ['image/gif', 'GIF8']
]

/**
 * Finds the pictures of Flowise's nodes by name; undefined where there is none. They are remembered, and so is that there
 * is none. The function throws upstream_unavailable, upstream_timeout or upstream_too_large.
 */
export function createIcons(
  agent: Agent,
  address: FlowiseAddress,
  { clock, timeoutMs }: IconOptions
): (name: string) => Promise<Icon | undefined> {
  const open = createOpen(agent, address)
  return createRemembered({ clock, ttlMs: TTL_MS, maxEntries: MAX_ICONS, lookup: find })

  async function find(name: string): Promise<Icon | undefined> {
    const path = `/node-icon/${segment(name)}`
    async function read(signal: AbortSignal): Promise<Icon | undefined> {
      const { status, body } = await open({ method: 'GET', path, accept: 'image/*', signal })
      const bytes = await readBytes(body, sizeLimit(MAX_BYTES))
      const mime = mimeOf(bytes)
      return status === 200 && mime !== undefined ? { mime, bytes } : undefined
    }
    try {
      return await within(read, timeLimit(clock, timeoutMs))
    } catch (error) {
      throw toAppError(error)
    }
  }
}

/** Undefined for what is no picture: Flowise answers many an address with a page. */
function mimeOf(bytes: Buffer): Icon['mime'] | undefined {
  const head = bytes.toString('latin1', 0, MAX_HEAD)
  const known = SIGNATURES.find(([, signature]) => head.startsWith(signature))?.[0]
  return known ?? (isSvg(head.replace(/^\xef\xbb\xbf/, '')) ? 'image/svg+xml' : undefined)
}

/** True if the first element is `svg`: declarations and comments may stand before it. */
function isSvg(head: string): boolean {
  let rest = head.trimStart()
  while (rest.startsWith('<?') || rest.startsWith('<!')) {
    const end = rest.startsWith('<!--') ? '-->' : '>'
    const at = rest.indexOf(end)
    if (at < 0) return false
    rest = rest.slice(at + end.length).trimStart()
  }
  return /^<svg[\s>]/.test(rest)
}
