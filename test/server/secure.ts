import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Parts } from '../../src/app.ts'
import { createSystemClock } from '../../src/clock.ts'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { createSecureEdge } from '../../src/secure-server.ts'
import { openKeyPair } from '../../src/tls.ts'
import { buildTestApp } from '../helper.ts'
import { type Certificate, makeCertificate } from './certificate.ts'
import { connectHttp2 } from './http2-wire.ts'

/** Certificate and key in a folder of the test. */
export function writePair(t: Test, { cert, key }: Certificate = makeCertificate()) {
  const folder = t.testdir()
  const files = { certFile: join(folder, 'tls', 'cert.pem'), keyFile: join(folder, 'tls', 'key.pem') }
  mkdirSync(join(folder, 'tls'))
  writeFileSync(files.certFile, cert)
  writeFileSync(files.keyFile, key)
  return { folder, files, cert, key }
}

/** A gateway that speaks TLS, with a user of many credits. */
export async function startSecure(t: Test, env: Record<string, string> = {}, parts: Partial<Parts> = {}) {
  const { files, cert } = writePair(t)
  const edge = createSecureEdge(await openKeyPair(files), createSystemClock())
  const gateway = await buildTestApp(t, { env: { DEFAULT_CREDITS: '1000', ...env }, parts: { ...parts, tls: edge } })
  const user = await gateway.createUser({ grants: [DEMO_IDS.echo] })
  const url = (await gateway.listen()).replace(/^http:/, 'https:')
  return { ...gateway, edge, user, url, cert, files, connect: () => connectHttp2(t, url, cert) }
}
