/** Room for the frames of all runs together, in bytes. Whoever takes more than there is has to give something back. */
export interface Room {
  /** Gives back what is below 0. */
  take(bytes: number): void
  /** Has others spare what they can; true while there is still more taken than there is. */
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
    isOverfull() {
      while (isOver() && spare());
      return isOver()
    },
    get takenBytes() {
      return taken
    }
  }
}
