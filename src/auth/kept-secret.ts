import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder } from '../folder.ts'
import type { Ids } from '../ids.ts'

const FILE = 'jwt-secret'

/** The generated signing secret of this folder: made at the first call, readable by its owner only, the same ever after. */
export function keptSecret(dataDir: string, ids: Ids): string {
  const path = join(dataDir, FILE)
  makeFolder(dataDir)
  try {
    // Exclusive: of two first starts one writes, and both read the same secret.
    writeFileSync(path, ids.secret(), { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if (!isExisting(error)) throw error
  }
  const secret = readFileSync(path, 'utf8').trim()
  if (secret.length < 32) throw new Error(`${path} is damaged: delete it; everybody then has to log in again.`)
  return secret
}

function isExisting(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EEXIST'
}
