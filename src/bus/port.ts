/**
 * What processes of one installation tell each other. The local adapter serves one process; Redis will serve several.
 * Nothing here carries money: a lost message or lease may cost fairness or a second, never a credit.
 */
export interface Bus {
  /** Tells every subscriber of the channel, in this process and in others; best effort, at most once. */
  publish(channel: string, message: string): void
  /** Returns the function that ends the subscription. */
  subscribe(channel: string, listener: (message: string) => void): () => void
  /**
   * Adds `by` to the counter of the current window and answers its value and the time until the window ends. A window
   * begins with the first count; with `by` 0 it is only looked at, and nothing is kept.
   */
  count(key: string, windowMs: number, by?: number): Promise<{ value: number; resetMs: number }>
  /** True if `owner` now holds the lease: it was free, run out, or already the owner's (then it is renewed). */
  acquire(key: string, owner: string, ttlMs: number): Promise<boolean>
  /** Gives the lease back if `owner` still holds it. */
  release(key: string, owner: string): Promise<void>
  ping(): Promise<void>
  close(): Promise<void>
}
