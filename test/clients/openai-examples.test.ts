import { execFile, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildTestApp } from '../helper.ts'

const EXAMPLES = join(import.meta.dirname, '../../docs/examples')
/** A Python that has the package `openai`, if there is one. */
const PYTHON = process.env.OPENAI_PYTHON ?? 'python3'
const hasPython = spawnSync(PYTHON, ['-I', '-c', 'import openai']).status === 0
const run = promisify(execFile)

/** What an example prints, by the word in front. */
async function lines(t: Test, command: string, file: string): Promise<Map<string, string[]>> {
  const { createUser, request, admin, listen } = await buildTestApp(t)
  const user = await createUser({ credits: 100, grants: [DEMO_IDS.echo] })
  const alias = { token: admin.token, body: { alias: 'parrot' } }
  t.equal((await request('PATCH', `/api/v1/admin/chatflows/${DEMO_IDS.echo}`, alias)).statusCode, 200)
  const key = await request('POST', '/api/v1/auth/api-keys', { token: user.token, body: { name: 'example' } })
  const { stdout } = await run(command, [join(EXAMPLES, file)], {
    env: { ...process.env, GATEWAY_URL: await listen(), GATEWAY_API_KEY: key.json().api_key }
  })
  const said = new Map<string, string[]>()
  for (const [, word = '', rest = ''] of stdout.matchAll(/^(\w+): (.*)$/gm))
    said.set(word, [...(said.get(word) ?? []), rest])
  return said
}

function check(t: Test, said: Map<string, string[]>): void {
  t.strictSame(said.get('models'), ['parrot'])
  t.match(said.get('answer'), [/What is my name\?/])
  t.strictSame(said.get('charged')?.map(Number), [1])
  t.match(said.get('streamed'), [/slowly/])
  t.match(said.get('remembered'), [/I like tea/, /What do I like\?/])
  t.strictSame(said.get('refused'), ['404 chatflow_not_found model'])
}

t.test('the example for JavaScript does what it says', async (t) => {
  check(t, await lines(t, process.execPath, 'openai.mjs'))
})

// The package cannot be had where the suite has to be complete: it is no skipped half.
if (hasPython) {
  t.test('the example for Python does what it says', async (t) => {
    check(t, await lines(t, PYTHON, 'openai_client.py'))
  })
} else t.comment('The Python example is not run: OPENAI_PYTHON names a Python that has the package openai.')
