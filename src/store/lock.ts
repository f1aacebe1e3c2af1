import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/**
 * Takes the data directory for this process and returns the function that gives it back. The lock is one of the operating
 * system on an empty database file: it ends with the process, however that ends, and leaves nothing to clean up.
 */
export function lockDirectory(dataDir: string): () => void {
  const lock = new DatabaseSync(join(dataDir, 'gateway.lock'))
  try {
    lock.exec('pragma locking_mode=exclusive; begin exclusive')
  } catch (cause) {
    lock.close()
    throw new Error(`Another gateway process uses ${dataDir}. Stop it first, or set another DATA_DIR.`, { cause })
  }
  return () => {
    if (lock.isOpen) lock.close()
  }
}
