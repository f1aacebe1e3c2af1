import type { BlobInfo, Blobs } from './port.ts'

const PAGE = 200

export interface BlobCopy {
  /** Blobs in the source, and in the target at the end. */
  sourceCount: number
  targetCount: number
  /** Blobs of the target that were made or removed. */
  changes: number
}

/**
 * Goes through both side by side, in the order of ids, and makes the target what the source is: what is missing is copied,
 * what is gone is removed. A blob that is there is whole, and never changes; so a copy that was interrupted anywhere is
 * repeated from the start and only completes. `onProgress` is told of each blob of the source.
 * @throws Error with a sentence for the operator
 */
export async function copyBlobs(source: Blobs, target: Blobs, onProgress: (count: number) => void): Promise<BlobCopy> {
  const copy: BlobCopy = { sourceCount: 0, targetCount: 0, changes: 0 }
  const theirs = cursorOf(target)
  await theirs.next()

  async function removeNext({ id }: BlobInfo): Promise<void> {
    if (await target.remove(id)) copy.changes++
    await theirs.next()
  }

  for await (const blob of allOf(source)) {
    while (theirs.blob && theirs.blob.id < blob.id) await removeNext(theirs.blob)
    if (theirs.blob?.id === blob.id && theirs.blob.sizeBytes !== blob.sizeBytes) await removeNext(theirs.blob)
    if (theirs.blob?.id === blob.id) {
      copy.targetCount++
      await theirs.next()
    } else if (await copyOne(source, target, blob)) {
      copy.targetCount++
      copy.changes++
    }
    onProgress(++copy.sourceCount)
  }
  while (theirs.blob) await removeNext(theirs.blob)
  return copy
}

/** False if somebody else has put it there, or taken it away from the source. */
async function copyOne(source: Blobs, target: Blobs, { id, sizeBytes, createdAt }: BlobInfo): Promise<boolean> {
  try {
    const reading = await source.read(id)
    if (!reading) return false
    return (await target.write(id, reading.stream, { maxBytes: sizeBytes, createdAt })) !== undefined
  } catch (cause) {
    const reason = cause instanceof Error ? (cause.cause instanceof Error ? cause.cause : cause).message : String(cause)
    throw new Error(`The file ${id} was not copied: ${reason.replace(/\.$/, '')}. Repeat the command to go on.`, {
      cause
    })
  }
}

function cursorOf(blobs: Blobs) {
  const rest = allOf(blobs)
  const cursor = {
    blob: undefined as BlobInfo | undefined,
    async next(): Promise<void> {
      cursor.blob = (await rest.next()).value
    }
  }
  return cursor
}

async function* allOf(blobs: Blobs): AsyncGenerator<BlobInfo, undefined> {
  let after: string | undefined
  for (;;) {
    const page = await blobs.list({ after, limit: PAGE })
    yield* page
    after = page.at(-1)?.id
    if (page.length < PAGE) return undefined
  }
}
