import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const FOLDER = import.meta.dirname

/** Where the MongoDB server for tests is built from and to. */
export const FERRETDB = { folder: join(FOLDER, 'ferretdb'), binary: join(FOLDER, '.bin/ferretdb') } as const

/** Go's installer unpacks to this folder and leaves PATH to its reader. */
const GO_FOLDERS = ['/usr/local/go/bin']

/** A server that tests can use: one that runs already, or a program to start. */
export type Available = { url: string } | { program: string }

/** The MongoDB of TEST_MONGODB_URL, or else the built FerretDB; undefined if there is neither. */
export function findMongo(env = process.env): Available | undefined {
  const url = env.TEST_MONGODB_URL
  if (url) return { url }
  return isProgram(FERRETDB.binary) ? { program: FERRETDB.binary } : undefined
}

/** The Redis of TEST_REDIS_URL, or else redis-server on the PATH; undefined if there is neither. */
export function findRedis(env = process.env): Available | undefined {
  const url = env.TEST_REDIS_URL
  if (url) return { url }
  const program = findProgram('redis-server', env)
  return program === undefined ? undefined : { program }
}

/** Path of the `go` command; undefined if there is none. */
export function findGo(env = process.env): string | undefined {
  return findProgram('go', env, GO_FOLDERS)
}

/** Path of `haproxy`, which Debian keeps where only root's PATH looks; undefined if there is none. */
export function findHaproxy(env = process.env): string | undefined {
  return findProgram('haproxy', env, ['/usr/sbin'])
}

/** Path of Chromium under any of its names; undefined if there is none. */
export function findChromium(env = process.env): string | undefined {
  const names = ['chromium', 'chromium-browser', 'google-chrome']
  return names.map((name) => findProgram(name, env)).find((path) => path !== undefined)
}

/** Path of a program on the PATH of this environment, or in one of the other folders; undefined if there is none. */
export function findProgram(name: string, env = process.env, others: string[] = []): string | undefined {
  const folders = [...(env.PATH ?? '').split(delimiter).filter(Boolean), ...others]
  return folders.map((folder) => join(folder, name)).find(isProgram)
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
