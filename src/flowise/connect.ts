import type { Socket } from 'node:net'
import { buildConnector } from 'undici'

/** As much as Node reads at once. */
const READ_BYTES = 65_536

/**
 * Connects to Flowise. What arrives on a plain connection is parsed in the call that has read it: as a stream each piece
 * would have a buffer of 64 KiB, and wait for two further ticks in a queue that is empty.
 */
export function createConnect(timeoutMs: number): buildConnector.connector {
  const secure = buildConnector({ timeout: timeoutMs })
  // One for all: it is read and copied from before anything else is read.
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  return function connect(options, callback) {
    if (options.protocol === 'https:') return secure(options, callback)
    const intake = new Intake()
    const onread = { buffer, callback: (length: number) => intake.take(buffer, length) }
    const plain = buildConnector({ timeout: timeoutMs, onread })
    plain(options, (...result) => {
      const [, socket] = result
      if (socket) intake.open(socket)
      callback(...result)
    })
  }
}

/** The readable side of a socket as far as undici uses it: `readable`, `read()` and `unshift()`. */
class Intake {
  #socket: Socket | undefined
  #arrived: Buffer | null = null
  #isStopped = false

  open(socket: Socket): void {
    this.#socket = socket
    const read = socket.read.bind(socket)
    // Node asks with a size, for the end.
    socket.read = (size?: number) => (size === undefined ? this.#read() : read(size))
    socket.unshift = (rest: Buffer) => {
      this.#arrived = rest
    }
  }

  /** False to read no further until it is asked again. */
  take(bytes: Buffer, length: number): boolean {
    // A copy, since heads are kept in slices until they are complete.
    const arrived = Buffer.allocUnsafe(length)
    bytes.copy(arrived, 0, 0, length)
    this.#arrived = arrived
    this.#socket?.emit('readable')
    this.#isStopped = this.#arrived !== null
    return !this.#isStopped
  }

  #read(): Buffer | null {
    const arrived = this.#arrived
    this.#arrived = null
    if (arrived === null && this.#isStopped) {
      this.#isStopped = false
      this.#socket?.resume()
    }
    return arrived
  }
}
