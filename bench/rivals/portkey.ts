import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type BenchProcess, freePort, startProgram, whenListening } from '../process.ts'

const ENTRY = 'node_modules/@portkey-ai/gateway/build/start-server.js'

/** Its start script in a folder where npm has installed it; undefined if it is not there. */
export function findPortkey(folder: string | undefined): string | undefined {
  const script = join(folder ?? process.cwd(), ENTRY)
  return existsSync(script) ? script : undefined
}

/** Portkey's gateway, which speaks OpenAI's form and is told by headers where to go. */
export async function startPortkey(script: string, { upstreamUrl }: { upstreamUrl: string }) {
  const port = await freePort()
  const args = [script, `--port=${port}`, '--headless']
  const env = { NODE_ENV: 'production', TRUSTED_CUSTOM_HOSTS: '127.0.0.1,localhost' }
  const started: BenchProcess = startProgram({ program: process.execPath, args, core: 'measured', env })
  await whenListening(started, port)
  const headers = {
    authorization: 'Bearer nobody',
    'x-portkey-provider': 'openai',
    'x-portkey-custom-host': `${upstreamUrl}/v1`
  }
  return { ...started, url: `http://127.0.0.1:${port}`, headers }
}
