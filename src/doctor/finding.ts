export type Level = 'ok' | 'warn' | 'fail'

/** What a probe has found out about one thing. */
export interface Finding {
  area: 'environment' | 'store' | 'redis' | 'flowise' | 'gateway'
  level: Level
  /** A sentence without its full stop. */
  text: string
  /** What to do about it. */
  next?: string
  /** A line to copy as it is. */
  copy?: string
}

export type Report = (level: Level, text: string, advice?: Pick<Finding, 'next' | 'copy'>) => Finding

/** Makes the findings of one area. */
export function reportOn(area: Finding['area']): Report {
  return (level, text, advice = {}) => ({ area, level, text, ...advice })
}

/** `1 user`, `2 users`. */
export function counted(count: number, singular: string, plural = `${singular}s`): string {
  return `${count} ${count === 1 ? singular : plural}`
}
