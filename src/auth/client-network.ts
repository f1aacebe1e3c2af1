import { isIPv6 } from 'node:net'

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i
const GROUPS = 8
const NETWORK_GROUPS = 4

/**
 * What failures of a client are counted by: its IPv4 address, or the /64 of its IPv6 address, of which one host may use
 * every address (RFC 4291, section 2.5.1).
 */
export function networkOf(address: string): string {
  const mapped = MAPPED.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  if (!isIPv6(address)) return address
  const [start = [], end = []] = address.replace(/%.*$/, '').split('::').map(groupsOf)
  const zeros = Array.from({ length: GROUPS - start.length - end.length }, () => '0')
  const groups = [...start, ...zeros, ...end].slice(0, NETWORK_GROUPS)
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}

/** The groups on one side of the gap; an IPv4 address at the end takes the place of two. */
function groupsOf(text: string): string[] {
  return text === '' ? [] : text.split(':').flatMap((group) => (group.includes('.') ? ['0', '0'] : [group]))
}
