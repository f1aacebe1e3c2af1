import { Socket } from 'node:net'
import { buildConnector } from 'undici'

/** As much as Node reads at once. */
const READ_BYTES = 65_536

/** Where a connection keeps its intake. */
const INTAKE = Symbol('intake')

interface Connection extends Socket {
  [INTAKE]?: Intake
}

/**
 * Connects to Flowise. What arrives on a plain connection is parsed in the call that has read it: as a stream each piece
 * would have a buffer of 64 KiB, and wait for two further ticks in a queue that is empty.
 */
export function createConnect(timeoutMs: number): buildConnector.connector {
  const secure = buildConnector({ timeout: timeoutMs })
  // One for all: it is read and copied from before anything else is read.
  const onread = { buffer: Buffer.allocUnsafeSlow(READ_BYTES), callback: take }
  const plain = buildConnector({ timeout: timeoutMs, onread })
  return function connect(options, callback) {
    if (options.protocol === 'https:') return secure(options, callback)
    plain(options, (...result) => {
      const [, socket] = result
      if (socket) open(socket)
      callback(...result)
    })
  }
}

/** The readable side of a socket as far as undici uses it: `readable`, `read()` and `unshift()`. */
function open(socket: Connection): void {
  socket[INTAKE] = new Intake(socket)
  socket.read = read
  socket.unshift = unshift
}

/** Node calls it on the socket that has read. */
function take(this: Connection, length: number, bytes: Uint8Array): boolean {
  return this[INTAKE]?.take(bytes, length) ?? true
}

/** Node asks with a size, for the end. */
function read(this: Connection, size?: number): Buffer | null {
  return size === undefined ? (this[INTAKE]?.read() ?? null) : Socket.prototype.read.call(this, size)
}

function unshift(this: Connection, rest: Buffer): void {
  this[INTAKE]?.unshift(rest)
}

/** What has arrived on a connection and was not read yet. A class, because each connection has one. */
class Intake {
  readonly #socket: Socket
  #arrived: Buffer | null = null
  #isStopped = false

  constructor(socket: Socket) {
    this.#socket = socket
  }

  /** False to read no further until it is asked again. */
  take(bytes: Uint8Array, length: number): boolean {
    // A copy, since heads are kept in slices until they are complete.
    const arrived = Buffer.allocUnsafe(length)
    arrived.set(bytes.subarray(0, length))
    this.#arrived = arrived
    this.#socket.emit('readable')
    this.#isStopped = this.#arrived !== null
    return !this.#isStopped
  }

  read(): Buffer | null {
    const arrived = this.#arrived
    this.#arrived = null
    if (arrived === null && this.#isStopped) {
      this.#isStopped = false
      this.#socket.resume()
    }
    return arrived
  }

  unshift(rest: Buffer): void {
    this.#arrived = rest
  }
}
