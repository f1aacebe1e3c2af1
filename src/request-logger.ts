import type { Bindings, ChildLoggerOptions, LevelWithSilent, Logger, LogFn } from 'pino'

type Line = Parameters<LogFn>

/** The logger of one request. It is made when it has something to say for the first time, and most requests never do. */
export class RequestLogger {
  readonly #parent: Logger
  readonly #bindings: Bindings
  readonly #options: ChildLoggerOptions
  #made: Logger | undefined

  constructor(parent: Logger, bindings: Bindings, options: ChildLoggerOptions) {
    this.#parent = parent
    this.#bindings = bindings
    this.#options = options
  }

  get level(): string {
    return this.#options.level ?? this.#parent.level
  }
  set level(level: string) {
    this.#logger.level = level
  }

  fatal(...line: Line): void {
    this.#write('fatal', line)
  }
  error(...line: Line): void {
    this.#write('error', line)
  }
  warn(...line: Line): void {
    this.#write('warn', line)
  }
  info(...line: Line): void {
    this.#write('info', line)
  }
  debug(...line: Line): void {
    this.#write('debug', line)
  }
  trace(...line: Line): void {
    this.#write('trace', line)
  }
  silent(): void {}

  child(bindings: Bindings, options?: ChildLoggerOptions): Logger {
    return this.#logger.child(bindings, options)
  }

  get #logger(): Logger {
    this.#made ??= this.#parent.child(this.#bindings, this.#options)
    return this.#made
  }

  #write(level: Exclude<LevelWithSilent, 'silent'>, line: Line): void {
    const isOwn = this.#made !== undefined || this.#options.level !== undefined
    if (isOwn || this.#parent.isLevelEnabled(level)) Reflect.apply(this.#logger[level], this.#logger, line)
  }
}
