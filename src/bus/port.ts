/**
 * What processes of one installation tell each other. The local adapter serves one process; Redis serves several.
 * Nothing here carries money: a lost message or lease may cost fairness or a second, never a credit. No member ever
 * rejects but `ping`: while what is shared cannot be reached, each process counts and leases for itself.
 */
export interface Bus {
  /** Names this process among those of the installation. */
  readonly instance: string
  /** Tells every subscriber of the channel, in this process and in others; best effort, at most once. */
  publish(channel: string, message: string): void
  /** The same for the subscribers in one process, this or another: what is long or frequent burdens nobody else. */
  send(instance: string, channel: string, message: string): void
  /** Returns the function that ends the subscription. */
  subscribe(channel: string, listener: (message: string) => void): () => void
  /**
   * Adds `by` to the counter of the current window and answers its value and the time until the window ends. A window
   * begins with the first count; with `by` 0 it is only looked at, and nothing is kept.
   */
  count(key: string, windowMs: number, by?: number): Promise<Counted>
  /**
   * True if `owner` now holds one of the `places` (default 1) of the lease: one was free, run out, or already the
   * owner's (then it is renewed).
   */
  acquire(key: string, owner: string, ttlMs: number, places?: number): Promise<boolean>
  /** Gives the place back if `owner` still holds it. */
  release(key: string, owner: string): Promise<void>
  /** Tells the listener now, and at each change, whether processes share what they are meant to share. */
  watch(listener: (state: BusState) => void): void
  /** Rejects while the state is not up, and when what is shared does not answer. */
  ping(): Promise<void>
  close(): Promise<void>
}

export interface Counted {
  value: number
  /** Until the window ends. */
  resetMs: number
}

export interface BusState {
  /** Always true where there is only one process. */
  isUp: boolean
  /** Why not; holds no secret. */
  reason?: string
}
