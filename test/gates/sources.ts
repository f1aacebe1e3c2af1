import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

export const ROOT = join(import.meta.dirname, '../..')

export interface Source {
  /** From the root: `src/credits/ledger.ts`. */
  path: string
  text: string
  /** Without comments, so that a rule is about code. */
  code: string
  imports: Import[]
}

export interface Import {
  /** As written, or from the root when it is one of ours. */
  target: string
  isType: boolean
}

/** The source files of a folder. */
export function sourcesOf(folder: 'src' | 'plugins' | 'routes' | 'test'): Source[] {
  return globSync(`${folder}/**/*.{ts,js}`, { cwd: ROOT }).map((path) => {
    const text = readFileSync(join(ROOT, path), 'utf8')
    const code = withoutComments(text)
    return { path, text, code, imports: importsOf(path, code) }
  })
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1')
}

function importsOf(path: string, code: string): Import[] {
  const statements = code.matchAll(/^\s*(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm)
  const dynamic = code.matchAll(/\bimport\(\s*'([^']+)'/g)
  return [
    ...[...statements].map(([, type, target = '']) => ({ target: resolve(path, target), isType: type !== undefined })),
    ...[...dynamic].map(([, target = '']) => ({ target: resolve(path, target), isType: false }))
  ]
}

function resolve(path: string, target: string): string {
  return target.startsWith('.') ? relative(ROOT, join(ROOT, dirname(path), target)) : target
}
