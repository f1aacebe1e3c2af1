import { execFileSync, spawnSync } from 'node:child_process'

/** Whether this machine can say how large the files of a process may become. */
export function canLimitFiles(): boolean {
  return spawnSync('prlimit', ['--version']).status === 0
}

/** No file of this process may be written to behind so many bytes: the system refuses it. Without a number: all may. */
export function limitFiles(bytes?: number): void {
  outliveLimits()
  execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes ?? 'unlimited'}:`])
}

/** A write behind the limit fails and ends nothing; else the test runner, which listens to all signals, takes it for the end. */
export function outliveLimits(): void {
  if (!process.listeners('SIGXFSZ').includes(goOn)) process.on('SIGXFSZ', goOn)
}

function goOn(): void {}
