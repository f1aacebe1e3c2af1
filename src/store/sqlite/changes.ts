import { checkNumbers, checkPaths, jsonOf, type PathReader } from '../checks.ts'
import type { Change } from '../port.ts'
import { frozen, isObject, type Stored } from './values.ts'

/** One step of a change, as it was asked for: later changes of what was given change nothing. */
export interface Step {
  path: readonly string[]
  kind: 'set' | 'inc' | 'max' | 'unset'
  value: unknown
}

/** The steps of a change, in an order that does not matter. @throws Error when the change means nothing certain */
export function stepsOf(change: Change, pathOf: PathReader): Step[] {
  const { key, set, inc, max, unset } = change
  const steps: Step[] = []
  if (unset) for (const path of unset) steps.push({ path: pathOf(path, key), kind: 'unset', value: undefined })
  if (set)
    for (const path of Object.keys(set))
      steps.push({ path: pathOf(path, key), kind: 'set', value: storable(path, set[path]) })
  if (inc) for (const path of Object.keys(inc)) steps.push({ path: pathOf(path, key), kind: 'inc', value: inc[path] })
  if (max) for (const path of Object.keys(max)) steps.push({ path: pathOf(path, key), kind: 'max', value: max[path] })
  checkNumbers(change)
  checkPaths(steps.map(({ path }) => path))
  return steps
}

/**
 * The document as the steps leave it; what they do not touch is shared with the old one. A parent that is not there is made,
 * and one that has no members with names keeps what it is. @throws Error when what is to be counted is no number
 */
export function changed(document: Stored, steps: readonly Step[]): Stored {
  const root: Record<string, unknown> = { ...document }
  const copies = [root]
  for (const step of steps) {
    const parent = parentOf(root, step, copies)
    if (parent) take(step, parent)
  }
  for (const copy of copies) Object.freeze(copy)
  return root
}

/** The object that a step changes, made or copied where it is not our own yet: only that is not frozen. */
function parentOf(
  root: Record<string, unknown>,
  { path, kind }: Step,
  copies: object[]
): Record<string, unknown> | undefined {
  let parent = root
  for (let i = 0; i < path.length - 1; i++) {
    const segment = path[i] ?? ''
    const child = own(parent, segment)
    if (child === undefined ? kind === 'unset' : !isObject(child)) return undefined
    if (isObject(child) && !Object.isFrozen(child)) {
      parent = child
      continue
    }
    const copy: Record<string, unknown> = { ...(child as object) }
    copies.push(copy)
    put(parent, segment, copy)
    parent = copy
  }
  return parent
}

function take({ path, kind, value }: Step, parent: Record<string, unknown>): void {
  const segment = path.at(-1) ?? ''
  if (kind === 'unset') Reflect.deleteProperty(parent, segment)
  else if (kind === 'set') put(parent, segment, value)
  else {
    const before = own(parent, segment) ?? null
    const by = Number(value)
    if (before === null) put(parent, segment, by)
    else if (typeof before === 'number') put(parent, segment, kind === 'inc' ? before + by : Math.max(before, by))
    // Numbers come before all else, in both stores.
    else if (kind === 'inc') throw new Error(`Not a number at ${path.join('.')}`)
  }
}

function own(object: Record<string, unknown>, segment: string): unknown {
  return Object.hasOwn(object, segment) ? object[segment] : undefined
}

function put(object: Record<string, unknown>, segment: string, value: unknown): void {
  // The one name that means something else when it is assigned to.
  if (segment === '__proto__')
    Object.defineProperty(object, segment, { value, writable: true, enumerable: true, configurable: true })
  else object[segment] = value
}

/** The value as JSON will give it back. */
function storable(path: string, value: unknown): unknown {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return value
  // JSON has no negative zero, and no numbers that are none.
  if (typeof value === 'number') return Number.isFinite(value) ? value + 0 : null
  return frozen(JSON.parse(jsonOf(path, value)))
}
