import { once } from 'node:events'
import { join } from 'node:path'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import type { Test } from 'tap'
import { type Certificate, makeCertificate } from './certificate.ts'
import { startProcess } from './gateway-process.ts'
import { connectHttp2 } from './http2-wire.ts'
import { writePair } from './secure.ts'

const PASSWORD = 'the admin password'

/** A process with the demo behind it and a certificate in front. */
export async function startSecureProcess(
  t: Test,
  env: Record<string, string> = {},
  pair: Certificate = makeCertificate()
) {
  const { folder, files, cert } = writePair(t, pair)
  const gateway = startProcess(t, {
    DATA_DIR: join(folder, 'data'),
    PORT: '0',
    HOST: '127.0.0.1',
    ADMIN_PASSWORD: PASSWORD,
    TLS_CERT_FILE: files.certFile,
    TLS_KEY_FILE: files.keyFile,
    ...env
  })
  const url = await gateway.listening
  const connect = (ca = cert) => connectHttp2(t, url, ca)
  async function login() {
    const client = await connect()
    const { body } = await client.json('/chat/authenticate', { body: { username: 'admin', password: PASSWORD } })
    return { ...client, token: String(Object(body).access_token) }
  }
  return { ...gateway, url, files, cert, connect, login }
}

/** Whether a client with these options accepts the certificate of the server. */
export async function isTrusted(url: string, options: ConnectionOptions): Promise<boolean> {
  const { hostname, port } = new URL(url)
  const socket = connectTls({ host: hostname, port: Number(port), rejectUnauthorized: false, ...options })
  await once(socket, 'secureConnect')
  socket.destroy()
  return socket.authorized
}
