import {
  closeSync,
  existsSync,
  fdatasync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  statSync,
  writeSync
} from 'node:fs'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'

/** Checksum of all behind it, length of the text, generation; each four bytes, the smallest first. */
const HEADER_BYTES = 12
/** More than this becomes durable in the database itself. */
const MAX_BYTES = 4 * 1024 * 1024
/** The file grows by so much at once: a write into what it has already need not make its size durable. */
const GROWTH = 512 * 1024
/** A buffer for a write that was larger is not kept. */
const BUFFER_BYTES = 256 * 1024
/** UTF-8 has at most so many bytes for one unit of a text. */
const BYTES_PER_UNIT = 3

/**
 * A file of records that cost little to make durable. The records of a generation are what one transaction of the database will
 * hold; those of the next one are written over them. A record that a crash has torn, and what is left of older generations,
 * is not there for the reader.
 */
export interface RedoLog {
  /** Whether there may be records of this generation in the file. */
  isUsed(): boolean
  /** Adds a record; false, if there is no room, or the file cannot be written. */
  append(generation: number, text: string): boolean
  /** Makes durable what was added before. */
  sync(done: (error: unknown) => void): void
  /** The records of a generation, in order; the next one will be added behind them. */
  read(generation: number): string[]
  /** Takes back what was not made durable. A crash may bring it back. */
  cut(): void
  /** The generation is over: the next record is the first of another. */
  restart(): void
  /** Ends the use of the file; `isOver`: nobody needs what is in it. */
  close(isOver: boolean): void
}

/** The file of the log of a database. */
export function logOf(database: string): string {
  return `${database}-redo`
}

/** Whether somebody has left something there: who closes it empties it. */
export function hasLeft(database: string): boolean {
  return (statSync(logOf(database), { throwIfNoEntry: false })?.size ?? 0) > 0
}

/** The log in this file, which is made with the first record. What throws does it as the file system. */
export function createRedoLog(path: string): RedoLog {
  let fd: number | undefined
  let allocated = 0
  let end = 0
  /** Nothing that was found at first is doubted. */
  let durableEnd = Infinity
  let isDoubtful = false
  /** Counts generations and cuts: what a sync from before says is of no use afterwards. */
  let epoch = 0
  let buffer = Buffer.alloc(0)

  function opened(): number {
    if (fd !== undefined) return fd
    const isNew = !existsSync(path)
    fd = openSync(path, isNew ? 'w+' : 'r+', 0o600)
    if (isNew) syncFolder(dirname(path))
    return fd
  }

  function reserve(file: number, size: number): void {
    while (allocated < size) {
      writeAll(file, Buffer.alloc(GROWTH), allocated)
      allocated += GROWTH
    }
  }

  function record(generation: number, text: string): Buffer {
    const most = HEADER_BYTES + text.length * BYTES_PER_UNIT
    if (buffer.length < most || buffer.length > BUFFER_BYTES)
      buffer = Buffer.allocUnsafeSlow(Math.max(most, BUFFER_BYTES))
    const length = buffer.write(text, HEADER_BYTES)
    buffer.writeUInt32LE(length, 4)
    buffer.writeUInt32LE(generation, 8)
    const whole = buffer.subarray(0, HEADER_BYTES + length)
    buffer.writeUInt32LE(crc32(whole.subarray(4)), 0)
    return whole
  }

  /** Spoils what stands behind the end, and begins anew with the file, which may be well again. */
  function wipe(): void {
    try {
      writeAll(opened(), Buffer.alloc(HEADER_BYTES), end)
    } catch {
      // Then it may come back: nobody was told that it never will.
    }
    drop()
  }

  function drop(): void {
    try {
      if (fd !== undefined) closeSync(fd)
    } catch {
      // It was lost before.
    }
    fd = undefined
  }

  function goTo(position: number): void {
    end = position
    durableEnd = position
    epoch++
  }

  return {
    isUsed: () => end > 0 || isDoubtful,
    append(generation, text) {
      if (end + HEADER_BYTES + text.length > MAX_BYTES) return false
      const whole = record(generation, text)
      if (end + whole.length > MAX_BYTES) return false
      isDoubtful = true
      try {
        const file = opened()
        reserve(file, end + whole.length)
        writeAll(file, whole, end)
      } catch {
        wipe()
        return false
      }
      end += whole.length
      return true
    },
    sync(done) {
      const [ofEpoch, reached] = [epoch, end]
      const synced = (error: unknown) => {
        if (error) drop()
        else if (ofEpoch === epoch) durableEnd = Math.max(durableEnd, reached)
        done(error)
      }
      try {
        fdatasync(opened(), synced)
      } catch (error) {
        setImmediate(synced, error)
      }
    },
    read(generation) {
      const bytes = existsSync(path) ? readFileSync(path) : Buffer.alloc(0)
      const texts: string[] = []
      allocated = bytes.length
      let position = 0
      for (;;) {
        const text = textAt(bytes, position, generation)
        if (text === undefined) break
        texts.push(text.toString())
        position += HEADER_BYTES + text.length
      }
      end = position
      durableEnd = Math.min(durableEnd, position)
      return texts
    },
    cut() {
      goTo(durableEnd)
      wipe()
    },
    restart() {
      goTo(0)
      isDoubtful = false
    },
    close(isOver) {
      try {
        if (isOver && existsSync(path)) ftruncateSync(opened(), 0)
      } catch {
        // What is in it is of a generation that the database knows.
      }
      drop()
    }
  }
}

/** The text of a whole record of this generation, if one stands here. */
function textAt(bytes: Buffer, start: number, generation: number): Buffer | undefined {
  if (start + HEADER_BYTES > bytes.length || bytes.readUInt32LE(start + 8) !== generation) return undefined
  const end = start + HEADER_BYTES + bytes.readUInt32LE(start + 4)
  if (end > bytes.length || bytes.readUInt32LE(start) !== crc32(bytes.subarray(start + 4, end))) return undefined
  return bytes.subarray(start + HEADER_BYTES, end)
}

function writeAll(file: number, bytes: Buffer, start: number): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done, bytes.length - done, start + done)
}

/** Makes the name of a new file durable. */
function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
