import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { claims, PAGE, renderPage } from './page.ts'

// Runs the tests of the clients and writes the table of docs/clients.md from what passed: `node test/clients/matrix.ts`.

const FOLDER = import.meta.dirname
const PASSED = /^ *ok \d+ - (.*?)(?: # time=\S+)?$/gm

/** Titles of the tests of a file that passed; a skipped one is none of them. */
async function passedIn(file: string): Promise<string[]> {
  const child = spawn(process.execPath, [join(FOLDER, file)], { stdio: ['ignore', 'pipe', 'ignore'] })
  return [...(await text(child.stdout)).matchAll(PASSED)].map(([, title = '']) => title)
}

const passed = new Set<string>()
for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.test.ts') && name !== 'matrix.test.ts')) {
  process.stderr.write(`${file} ...\n`)
  for (const title of await passedIn(file)) passed.add(title)
}
const unproven = claims().filter(({ test }) => !passed.has(test))
for (const { test } of unproven) process.stderr.write(`not proven: ${test}\n`)
if (unproven.length > 0) process.exitCode = 1
else writeFileSync(PAGE, renderPage(readFileSync(PAGE, 'utf8')))
