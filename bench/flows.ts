/** The chatflows of the stand-in for Flowise; what they do is in their definition, so that nothing has to be configured. */
export const flows = {
  /** Answers in one piece. */
  answer: { id: 'bench-answer', tokens: 1, gapMs: 1 },
  /** A stream in which opening and closing is most of the work. */
  short: { id: 'bench-short', tokens: 10, gapMs: 20 },
  /** A stream at the speed of a language model, long enough to measure in its middle. */
  steady: { id: 'bench-steady', tokens: 120, gapMs: 50 },
  /** One token, then silence until the client leaves. */
  idle: { id: 'bench-idle', tokens: Number.MAX_SAFE_INTEGER, gapMs: 3_600_000 }
} as const

export type FlowName = keyof typeof flows
