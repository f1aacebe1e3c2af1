import { canonicalUrl } from '../canonical-url.ts'

/** A test file as it is written. */
export interface TestSource {
  path: string
  text: string
}

/** A test, and the requests it makes. */
export interface TestCalls {
  file: string
  title: string
  calls: Call[]
}

/** `url` is canonical, without a query; `*` stands for what is only known when the test runs. */
export interface Call {
  method: string
  url: string
}

const BLOCK = /^(?:t\.test|withMongo|withRedis)\((?:t, )?(?:'((?:[^'\\]|\\.)+)'|"([^"]+)")/gm
const CALL = /'(GET|POST|PUT|PATCH|DELETE)',\s*(?:\n\s*)?(`[^`]*`|'[^']*'|"[^"]*"|[A-Z_a-z]\w*)/g
const NAMED = /(\w+)\s*(?:=|:|\()\s*(?:async\s*)?(?:\(|\w+\s*=>)/g
/** How far behind its name a helper makes its request. */
const HELPER_CHARACTERS = 400

/** What each top-level test of a file requests, by itself or through a helper of the file. Read, not run. */
export function callsOf({ path, text }: TestSource): TestCalls[] {
  const constants = constantsOf(text)
  const starts = [...text.matchAll(BLOCK)]
  const [first] = starts
  const prelude = text.slice(0, first?.index ?? text.length)
  const helpers = helpersOf(prelude, constants)
  return starts.map((start, index) => {
    const block = text.slice(start.index, starts[index + 1]?.index)
    const title = (start[1] ?? start[2] ?? '').replaceAll("\\'", "'")
    const through = helpers.filter(({ name }) => new RegExp(`\\b${name}\\(`).test(block)).flatMap(({ calls }) => calls)
    return { file: path, title, calls: [...callsIn(block, constants), ...through] }
  })
}

/** Whether a request goes to this operation; `*` may stand for a fixed part only where nothing else fits. */
export function isCallOf(call: Call, { method, path }: { method: string; path: string }, isLoose = false): boolean {
  const wanted = path.split('/')
  const given = call.url.split('/')
  if (call.method !== method || wanted.length !== given.length) return false
  return wanted.every(
    (part, index) => part.startsWith('{') || part === given[index] || (isLoose && given[index] === '*')
  )
}

/** Requests of functions that stand before the tests. */
function helpersOf(text: string, constants: Map<string, string>): { name: string; calls: Call[] }[] {
  return [...text.matchAll(NAMED)].flatMap(({ 1: name = '', index }) => {
    const next = text
      .slice(index, index + HELPER_CHARACTERS)
      .split(/\n(?=\s*(?:const|function|async function|\w+: ))/)[0]
    const calls = callsIn(next ?? '', constants)
    return calls.length > 0 ? [{ name, calls }] : []
  })
}

function callsIn(text: string, constants: Map<string, string>): Call[] {
  return [...text.matchAll(CALL)].flatMap(([, method = '', written = '']) => {
    const isText = /^['"`]/.test(written)
    const url = isText ? resolve(written.slice(1, -1), constants) : constants.get(written)
    return url === undefined ? [] : [{ method, url: canonical(url) }]
  })
}

/** Addresses that have a name in the file. */
function constantsOf(text: string): Map<string, string> {
  const constants = new Map<string, string>()
  for (const [, name = '', , value = ''] of text.matchAll(/const (\w+) = (['"`])([^\n]*?)\2(?=[\n,;)]|$)/g))
    if (value.startsWith('/') || value.startsWith('${')) constants.set(name, resolve(value, constants))
  return constants
}

function resolve(value: string, constants: Map<string, string>): string {
  return value.replaceAll(/\$\{([^}]*)\}/g, (_, name: string) => constants.get(name) ?? '*')
}

/** Without the host before the path, which is known at run time only, and without the query behind it. */
function canonical(url: string): string {
  const path = (url.split('?')[0] ?? '').replace(/^\*(?=\/)/, '').replace(/([^/])\*$/, '$1')
  return canonicalUrl(path.length > 1 ? path.replace(/\/$/, '') : path)
}
