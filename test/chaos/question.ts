/** What the stand-in for Flowise is to do; a question of the chaos program says it in words. */
export interface Plan {
  /** Names the question everywhere: every answer begins with it. */
  id: string
  tokens: number
  /** Before each token. */
  pauseMs: number
  /** `fail` answers 500 before any output, `error` is an event after half of the tokens, `cut` breaks the connection there. */
  ending: 'end' | 'fail' | 'error' | 'cut'
}

/** The plan as a question. */
export function questionOf({ id, tokens, pauseMs, ending }: Plan): string {
  return `${id} ${tokens} ${pauseMs} ${ending}`
}

/** The plan in a question; undefined if it is none of these. */
export function planOf(question: string): Plan | undefined {
  const [, id, tokens, pauseMs, ending] = /^(q\d+-\d+) (\d+) (\d+) (end|fail|error|cut)$/.exec(question) ?? []
  if (id === undefined || !isEnding(ending)) return undefined
  return { id, tokens: Number(tokens), pauseMs: Number(pauseMs), ending }
}

/** The tokens of the answer; together they are its text. */
export function tokensOf({ id, tokens }: Plan): string[] {
  return Array.from({ length: tokens }, (_, index) => (index === 0 ? id : ` ${index}`))
}

/** The question that an answer, or the beginning of one, is for. */
export function questionIdOf(text: string): string | undefined {
  return /^q\d+-\d+/.exec(text)?.[0]
}

function isEnding(text: string | undefined): text is Plan['ending'] {
  return text === 'end' || text === 'fail' || text === 'error' || text === 'cut'
}
