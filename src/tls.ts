import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'

export interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
}

/** A certificate chain and its private key, both in PEM, that belong together. */
export interface KeyPair {
  readonly cert: string
  readonly key: string
  readonly validFromAt: number
  readonly validToAt: number
}

export interface KeyPairFiles {
  /** The pair in use. */
  readonly current: KeyPair
  /**
   * Looks at the files again; answers the new pair, or undefined if there is nothing new. Two calls have to find the
   * same before it counts: certificate and key are two files, and whoever renews them writes one after the other.
   * @throws a sentence, once, for files that cannot be used; the pair in use stays
   */
  reread(): Promise<KeyPair | undefined>
}

/** More is no certificate; whoever names a device or a log by mistake gets a sentence and not a full memory. */
const MAX_BYTES = 1_048_576

/**
 * Reads and checks the certificate and key for the start, and remembers them for `reread`. They are compared by
 * content: a renamed file, a swapped link and a file that was written over are all the same to it.
 * @throws a sentence that names the variable; it holds neither a path nor content, since a key may stand where its path belongs
 */
export async function openKeyPair(files: TlsFiles): Promise<KeyPairFiles> {
  const read = async () => ({
    cert: await readPem('TLS_CERT_FILE', files.certFile),
    key: await readPem('TLS_KEY_FILE', files.keyFile)
  })
  const first = await read()
  let current = checkPair(first)
  let handled = printOf(first)
  let lastSeen = handled

  return {
    get current() {
      return current
    },
    async reread() {
      const found = await read().catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))))
      const print = printOf(found)
      const isStill = print === lastSeen
      lastSeen = print
      if (print === handled || !isStill) return undefined
      handled = print
      if (found instanceof Error) throw found
      current = checkPair(found)
      return current
    }
  }
}

/** What is wrong with the dates of a certificate; undefined if nothing is. */
export function validityProblem({ validFromAt, validToAt }: KeyPair, now: number): string | undefined {
  if (now > validToAt) return 'the certificate in TLS_CERT_FILE has expired'
  return now < validFromAt ? 'the certificate in TLS_CERT_FILE is not valid yet' : undefined
}

async function readPem(name: string, path: string): Promise<string> {
  try {
    const found = await stat(path)
    if (!found.isFile() || found.size > MAX_BYTES) throw new Error(`${name} is not a file in PEM.`)
    return await readFile(path, 'utf8')
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error
    // oxlint-disable-next-line preserve-caught-error -- its message quotes the path, which may be a key set by mistake
    throw new Error(`${name} cannot be read (${String(error.code)}).`)
  }
}

function checkPair({ cert, key }: { cert: string; key: string }): KeyPair {
  const certificate = parsed(() => new X509Certificate(cert))
  if (!certificate) throw new Error('TLS_CERT_FILE holds no certificate in PEM.')
  const privateKey = parsed(() => createPrivateKey(key))
  if (!privateKey) throw new Error('TLS_KEY_FILE holds no private key in PEM, or one with a passphrase.')
  if (!certificate.checkPrivateKey(privateKey))
    throw new Error('TLS_KEY_FILE is not the key of the first certificate in TLS_CERT_FILE.')
  if (!parsed(() => createSecureContext({ cert, key })))
    throw new Error('TLS_CERT_FILE and TLS_KEY_FILE are refused by OpenSSL: too weak, or a broken chain.')
  return { cert, key, validFromAt: Date.parse(certificate.validFrom), validToAt: Date.parse(certificate.validTo) }
}

/** Undefined if OpenSSL cannot read it; what it says about the content is nobody's business. */
function parsed<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

function printOf(found: { cert: string; key: string } | Error): string {
  const text = found instanceof Error ? found.message : `${found.cert}\0${found.key}`
  return createHash('sha256').update(text).digest('base64')
}
