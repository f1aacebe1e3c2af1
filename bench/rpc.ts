import type { ChildProcess } from 'node:child_process'

/** What a process of the benchmark can be asked for: at most one argument, one answer, both plain data. */
export type Methods<M> = { [Name in keyof M]: (...task: never[]) => unknown }

/** Asks a child process; rejects with the text of what failed there. */
export type Ask<M extends Methods<M>> = <Name extends keyof M & string>(
  method: Name,
  ...task: Parameters<M[Name]>
) => Promise<Awaited<ReturnType<M[Name]>>>

interface Waiting {
  resolve(result: never): void
  reject(error: Error): void
}

interface Question {
  id: number
  method: string
  task: never[]
}

interface Answer {
  id: number
  result?: never
  failure?: string
}

/** A caller for what `serve` offers at the other end of the child's channel. */
export function createAsk<M extends Methods<M>>(child: ChildProcess): Ask<M> {
  const waiting = new Map<number, Waiting>()
  let lastId = 0
  child.on('message', (message) => {
    // Both ends are this file.
    const { id, result, failure } = message as Answer
    const asked = waiting.get(id)
    waiting.delete(id)
    if (failure === undefined) asked?.resolve(result as never)
    else asked?.reject(new Error(failure))
  })
  child.on('exit', (code, signal) => {
    for (const { reject } of waiting.values()) reject(new Error(`The process ended with ${code ?? signal}.`))
    waiting.clear()
  })
  return (method, ...task) =>
    new Promise((resolve, reject) => {
      lastId += 1
      waiting.set(lastId, { resolve, reject })
      child.send({ id: lastId, method, task })
    })
}

/** Answers the parent; without a parent's channel it does nothing. */
export function serve<M extends Methods<M>>(methods: M): void {
  const known = new Map<string, (...task: never[]) => unknown>(Object.entries(methods))
  process.on('message', (message) => void answer(message as Question))
  // A parent that was killed must not leave its children behind.
  process.on('disconnect', () => process.exit())

  async function answer({ id, method, task }: Question): Promise<void> {
    const run = known.get(method)
    // Two programs may serve in one process: what one does not know, the other does.
    if (!run) return
    try {
      process.send?.({ id, result: await run(...task) })
    } catch (error) {
      process.send?.({ id, failure: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    }
  }
}
