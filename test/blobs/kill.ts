import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { CHUNK_BYTES } from '../../src/blobs/chunks.ts'
import type { Blobs } from '../../src/blobs/port.ts'
import { bytesOf } from '../contract/blobs.ts'

export interface Told {
  acknowledged: Set<string>
  /** Removals that were begun: it may be there or not. */
  removed: Set<string>
}

/** Lets a process write and remove blobs, and kills it after this many lines. */
export async function killWriter(t: Test, place: string[], lines: number): Promise<Told> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'blob-burst.ts'), ...place], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => child.kill('SIGKILL'))
  const told: Told = { acknowledged: new Set(), removed: new Set() }
  let count = 0
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('-')) told.removed.add(line.slice(1))
    else told.acknowledged.add(line)
    if (++count === lines) child.kill('SIGKILL')
  }
  if (child.signalCode === null && child.exitCode === null) await once(child, 'exit')
  t.equal(child.signalCode, 'SIGKILL')
  return told
}

/** Every blob that can be seen is whole, and none that was acknowledged is missing. Answers the number of their chunks. */
export async function checkWhole(t: Test, blobs: Blobs, { acknowledged, removed }: Told): Promise<number> {
  const seen = await blobs.list({ limit: 1000 })
  for (const { id, sizeBytes } of seen) {
    const [, writer, i] = /^w(\d+)-(\d+)$/.exec(id) ?? []
    const expected = Buffer.alloc((Number(i) % 4) * CHUNK_BYTES + Number(writer) + 1, id)
    t.equal(sizeBytes, expected.length)
    t.ok(expected.equals(await bytesOf(blobs, id)), id)
  }
  const ids = new Set(seen.map(({ id }) => id))
  const missing = [...acknowledged].filter((id) => !ids.has(id) && !removed.has(id))
  t.strictSame(missing, [])
  return seen.reduce((sum, { sizeBytes }) => sum + Math.ceil(sizeBytes / CHUNK_BYTES), 0)
}
