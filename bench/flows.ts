/** The chatflows of the stand-in for Flowise; what they do is in their definition, so that nothing has to be configured. */
export const flows = {
  /** Answers in one piece. */
  answer: { id: 'bench-answer', tokens: 1, gapMs: 1 },
  /** A stream at the speed of a language model that is over soon: opening and closing is most of the work. */
  short: { id: 'bench-short', tokens: 10, gapMs: 50 },
  /** The same speed, long enough to measure in its middle. */
  steady: { id: 'bench-steady', tokens: 100, gapMs: 50 },
  /** A token now and then, to the end. */
  slow: { id: 'bench-slow', tokens: 4, gapMs: 2000 },
  /** One token, then silence until the client leaves. */
  idle: { id: 'bench-idle', tokens: Number.MAX_SAFE_INTEGER, gapMs: 3_600_000 }
} as const

export type FlowName = keyof typeof flows
