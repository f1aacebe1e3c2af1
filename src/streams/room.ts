/** Room for the frames of all runs together, in bytes. Whoever takes more than there is has to give something back. */
export interface Room {
  take(bytes: number): void
  give(bytes: number): void
  /** True while more is taken than there is, and nobody else can spare anything. */
  isOverfull(): boolean
  readonly takenBytes: number
}

/** `spare` frees what is needed least; false if there is nothing of the kind. */
export function createRoom(maxBytes: number, spare: () => boolean): Room {
  let taken = 0
  const isOver = () => taken > maxBytes
  return {
    take(bytes) {
      taken += bytes
    },
    give(bytes) {
      taken -= bytes
    },
    isOverfull() {
      while (isOver() && spare());
      return isOver()
    },
    get takenBytes() {
      return taken
    }
  }
}
