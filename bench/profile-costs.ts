/** The part of the format of `--cpu-prof` that is read here. */
export interface CpuProfile {
  nodes: ProfileNode[]
  samples: number[]
  timeDeltas: number[]
}

interface ProfileNode {
  id: number
  callFrame: { functionName: string; url: string; lineNumber: number }
  children?: number[]
}

/** A function and its share of the time in which the thread was not idle. */
export interface Cost {
  where: string
  share: number
}

const ROOT = new URL('..', import.meta.url).href
const IDLE = '(idle)'

/** Time spent in the function itself, largest first. */
export function selfCosts(profile: CpuProfile): Cost[] {
  const times = timesByNode(profile)
  const totals = new Map<string, number>()
  for (const node of profile.nodes) add(totals, nameOf(node), times.get(node.id) ?? 0)
  return sharesOf(totals, busyTime(profile, times))
}

/** Time spent in the function and all it calls, largest first; only functions of this project. */
export function inclusiveCosts(profile: CpuProfile): Cost[] {
  const times = timesByNode(profile)
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const totals = new Map<string, number>()
  const root = profile.nodes[0]
  if (root) walk(root, new Set())
  return sharesOf(totals, busyTime(profile, times))

  /** A function that calls itself counts once per stack. */
  function walk(node: ProfileNode, above: ReadonlySet<string>): number {
    const name = nameOf(node)
    const stack = new Set(above).add(name)
    let time = times.get(node.id) ?? 0
    for (const id of node.children ?? []) {
      const child = nodes.get(id)
      if (child) time += walk(child, stack)
    }
    const isOurs = node.callFrame.url.startsWith(ROOT) && !node.callFrame.url.includes('node_modules')
    if (isOurs && !above.has(name)) add(totals, name, time)
    return time
  }
}

function timesByNode({ samples, timeDeltas }: CpuProfile): Map<number, number> {
  const times = new Map<number, number>()
  for (const [index, id] of samples.entries()) add(times, id, timeDeltas[index] ?? 0)
  return times
}

function nameOf({ callFrame: { functionName, url, lineNumber } }: ProfileNode): string {
  if (url === '') return functionName || '(anonymous)'
  return `${functionName || '(anonymous)'} ${url.replace(ROOT, '')}:${lineNumber + 1}`
}

function add<Key>(totals: Map<Key, number>, key: Key, time: number): void {
  totals.set(key, (totals.get(key) ?? 0) + time)
}

function busyTime({ nodes }: CpuProfile, times: Map<number, number>): number {
  return nodes.reduce((sum, node) => (nameOf(node) === IDLE ? sum : sum + (times.get(node.id) ?? 0)), 0)
}

function sharesOf(totals: Map<string, number>, busy: number): Cost[] {
  return [...totals]
    .filter(([where]) => where !== IDLE)
    .map(([where, time]) => ({ where, share: time / busy }))
    .sort((a, b) => b.share - a.share)
}
