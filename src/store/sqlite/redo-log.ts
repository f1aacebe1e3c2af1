import {
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  truncateSync,
  writeSync
} from 'node:fs'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'

/** Checksum of the record before and of all behind it here, length of the text, number; each four bytes, the smallest first. */
const HEADER_BYTES = 12
/** More than this becomes durable in the database itself. */
const MAX_BYTES = 4 * 1024 * 1024
/** The file grows by so much at once: a write into what it has already need not make its size durable. */
const GROWTH = 512 * 1024
/** A buffer for a write that was larger is not kept. */
const BUFFER_BYTES = 256 * 1024
/** UTF-8 has at most so many bytes for one unit of a text. */
const BYTES_PER_UNIT = 3

/** What a batch has written, and which it was since the database was made. */
export interface RecordOfLog {
  number: number
  text: string
}

/**
 * A file of records that cost little to make durable: what one transaction of the database will hold. When it is over, those of
 * another are written over them. Each names the one before it by its checksum, and is the next one by its number. So a record that
 * a crash has torn is not there for the reader, nor what was behind it, whatever is written in its place, nor what is left of
 * older transactions.
 */
export interface RedoLog {
  /** Whether there may be records in the file that count. */
  isUsed(): boolean
  /** Adds a record; false, if there is no room, or the file cannot be written. */
  append(number: number, text: string): boolean
  /** Makes durable what was added before. */
  sync(done: (error: unknown) => void): void
  /** The records, in order; the next one will be added behind them. */
  read(): RecordOfLog[]
  /** Takes back what was not made durable. A crash may bring it back. */
  cut(): void
  /** Nobody needs what is in it: the next record is the first. */
  restart(): void
  /** Makes sure that what stands behind the last record, or in the place of the first, is none, whatever crashes. */
  wipe(): void
  /** Ends the use of the file; `isOver`: nobody needs what is in it. */
  close(isOver: boolean): void
}

/** Where a record ends, and its checksum. */
interface Mark {
  end: number
  sum: number
}

const START: Mark = { end: 0, sum: 0 }

/** Commits and records are counted by a number of the database; of its bits, which may be anything, so many are used. */
const NUMBERS = 0x7f_ff_ff_ff

/** The number of what comes next. */
export function following(number: number): number {
  return (number + 1) & NUMBERS
}

/** The number of the last that a database has, by what it says. */
export function numberOf(userVersion: unknown): number {
  return Number(userVersion) & NUMBERS
}

/** The log in this file, which is made with the first record. What throws does it as the file system. */
export function createRedoLog(path: string): RedoLog {
  let fd: number | undefined
  /** The one that a sync is under way for: its number may not become that of another file meanwhile. */
  let syncing: number | undefined
  /** Whether a crash would leave the name of the file. */
  let isNamed = false
  let allocated = 0
  let last = START
  /** Nothing that was found at first is doubted. */
  let durable: Mark | undefined
  let isDoubtful = false
  /** Counts restarts and cuts: what a sync from before says is of no use afterwards. */
  let epoch = 0
  let buffer = Buffer.alloc(0)

  function opened(): number {
    if (fd === undefined) {
      fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
      allocated = fstatSync(fd).size
    }
    // Who has made the file may have died before it did this.
    if (!isNamed) syncFolder(dirname(path))
    isNamed = true
    return fd
  }

  function reserve(file: number, size: number): void {
    while (allocated < size) {
      writeAll(file, Buffer.alloc(GROWTH), allocated)
      allocated += GROWTH
    }
  }

  function record(number: number, text: string): Buffer {
    const most = HEADER_BYTES + text.length * BYTES_PER_UNIT
    if (buffer.length < most || buffer.length > BUFFER_BYTES)
      buffer = Buffer.allocUnsafeSlow(Math.max(most, BUFFER_BYTES))
    const length = buffer.write(text, HEADER_BYTES)
    buffer.writeUInt32LE(length, 4)
    buffer.writeUInt32LE(number, 8)
    const whole = buffer.subarray(0, HEADER_BYTES + length)
    buffer.writeUInt32LE(crc32(whole.subarray(4), last.sum), 0)
    return whole
  }

  /** Makes what stands behind the end no record. */
  function blank(): number {
    const file = opened()
    writeAll(file, Buffer.alloc(HEADER_BYTES), last.end)
    return file
  }

  /** Spoils what stands behind the end, and begins anew with the file, which may be well again. */
  function spoil(): void {
    try {
      blank()
    } catch {
      // Then it may come back: nobody was told that it never will.
    }
    drop()
  }

  function drop(): void {
    const dropped = fd
    fd = undefined
    if (dropped !== undefined && dropped !== syncing) release(dropped)
  }

  function goTo(mark: Mark): void {
    last = mark
    durable = mark
    epoch++
  }

  return {
    isUsed: () => last.end > 0 || isDoubtful,
    append(number, text) {
      if (last.end + HEADER_BYTES + text.length > MAX_BYTES) return false
      const whole = record(number, text)
      const end = last.end + whole.length
      if (end > MAX_BYTES) return false
      isDoubtful = true
      try {
        const file = opened()
        reserve(file, end)
        writeAll(file, whole, last.end)
      } catch {
        spoil()
        return false
      }
      last = { end, sum: whole.readUInt32LE(0) }
      return true
    },
    sync(done) {
      const [ofEpoch, reached] = [epoch, last]
      const synced = (error: unknown) => {
        if (syncing !== undefined && syncing !== fd) release(syncing)
        syncing = undefined
        if (error) drop()
        else if (ofEpoch === epoch && reached.end > (durable?.end ?? 0)) durable = reached
        done(error)
      }
      try {
        syncing = opened()
        fdatasync(syncing, synced)
      } catch (error) {
        setImmediate(synced, error)
      }
    },
    read() {
      const bytes = bytesOf(path)
      const records: RecordOfLog[] = []
      last = START
      for (;;) {
        const next = recordAt(bytes, last)
        const before = records.at(-1)
        if (next === undefined || (before && next.number !== following(before.number))) break
        records.push({ number: next.number, text: next.text })
        last = next.mark
      }
      if (durable === undefined || durable.end > last.end) durable = last
      return records
    },
    cut() {
      goTo(durable ?? START)
      spoil()
    },
    restart() {
      goTo(START)
      isDoubtful = false
    },
    wipe() {
      try {
        fdatasyncSync(blank())
      } finally {
        drop()
      }
    },
    close(isOver) {
      try {
        if (isOver) truncateSync(path)
      } catch {
        // There is none, or what is in it the database has.
      }
      drop()
    }
  }
}

/** What is in the file; nothing, if there is none. */
function bytesOf(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return Buffer.alloc(0)
    throw error
  }
}

/** The whole record that was written behind this one, if it stands there. */
function recordAt(bytes: Buffer, { end: start, sum: before }: Mark) {
  if (start + HEADER_BYTES > bytes.length) return undefined
  const end = start + HEADER_BYTES + bytes.readUInt32LE(start + 4)
  const sum = bytes.readUInt32LE(start)
  if (end > bytes.length || sum !== crc32(bytes.subarray(start + 4, end), before)) return undefined
  const text = bytes.toString('utf8', start + HEADER_BYTES, end)
  return { number: bytes.readUInt32LE(start + 8), text, mark: { end, sum } }
}

function release(file: number): void {
  try {
    closeSync(file)
  } catch {
    // It was lost before.
  }
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
