import t from 'tap'
import { type Import, type Source, sourcesOf } from './sources.ts'

/** The composition root: the application, the server, and the command line with its commands. */
const COMPOSITION = /^src\/(app\.ts|serve\.ts|server\.js|cli\.ts|cli\/[^/]+\.ts)$/
/** Ports, rows and shared atoms: what two nouns may have in common. */
const SHARED = /^src\/([^/]+\.ts|store\/(port|collections|cursor|collect)\.ts|bus\/port\.ts)$/

const src = sourcesOf('src')
const plugins = sourcesOf('plugins')
const routes = sourcesOf('routes')
const product = [...src, ...plugins, ...routes]
const inner = src.filter(({ path }) => !COMPOSITION.test(path))

/** `path -> target` of every import the rule forbids. */
function violations(sources: Source[], isForbidden: (found: Import, source: Source) => boolean): string[] {
  return sources.flatMap((source) =>
    source.imports.filter((found) => isForbidden(found, source)).map(({ target }) => `${source.path} -> ${target}`)
  )
}

t.test('there is something to check', async (t) => {
  t.ok(src.length > 20, `${src.length} files in src`)
  t.ok(plugins.length > 10, `${plugins.length} plugins`)
  t.ok(routes.length > 3, `${routes.length} route files`)
  t.ok(src.some(({ imports }) => imports.length > 0))
  t.ok(
    src.filter(({ path }) => COMPOSITION.test(path)).length > 5,
    'the composition root is where the rules look for it'
  )
})

t.test('src knows no HTTP framework, no plugin and no route', async (t) => {
  t.strictSame(
    violations(inner, ({ target }) => /^(fastify|@fastify\/(?!busboy)|plugins\/|routes\/)/.test(target)),
    []
  )
})

t.test('nothing depends on the composition root, except for the types of its parts', async (t) => {
  t.strictSame(
    violations(product, ({ target, isType }, { path }) => {
      return COMPOSITION.test(target) && !isType && !COMPOSITION.test(path)
    }),
    []
  )
})

t.test('two nouns in src meet only through an argument', async (t) => {
  const nounOf = (path: string) => /^src\/([^/]+)\//.exec(path)?.[1]
  t.strictSame(
    violations(inner, ({ target, isType }, { path }) => {
      const own = nounOf(path)
      const other = nounOf(target)
      return own !== undefined && other !== undefined && own !== other && !isType && !SHARED.test(target)
    }),
    []
  )
})

t.test('a plugin imports no route', async (t) => {
  t.strictSame(
    violations(plugins, ({ target }) => target.startsWith('routes/')),
    []
  )
})

t.test('a route imports no other route and no behaviour of a plugin', async (t) => {
  t.strictSame(
    violations(routes, ({ target, isType }) => !isType && /^(routes|plugins)\//.test(target)),
    []
  )
})

t.test('only the configuration reads the environment', async (t) => {
  const readers = product.filter(({ code }) => /process\s*\.\s*env|process\[/.test(code)).map(({ path }) => path)
  t.strictSame(readers, ['src/config.ts'])
})

t.test('nothing writes to the console, waits by setInterval, or is left to do', async (t) => {
  const found = product.filter(({ code }) => /\bconsole\s*\.|\bsetInterval\s*\(/.test(code)).map(({ path }) => path)
  t.strictSame(found, [])
  const todo = product.filter(({ text }) => /\b(TODO|FIXME|XXX|HACK)\b/.test(text)).map(({ path }) => path)
  t.strictSame(todo, [])
})

t.test('types are kept: no any, no non-null assertion in declarations, no ignored errors', async (t) => {
  const found = product.filter(({ text }) => /:\s*any\b|\bas any\b|<any>|@ts-ignore|@ts-nocheck/.test(text))
  t.strictSame(
    found.map(({ path }) => path),
    []
  )
})

t.test('a file has at most 300 lines', async (t) => {
  const long = [...product, ...sourcesOf('test')].filter(({ text }) => text.split('\n').length > 301)
  t.strictSame(
    long.map(({ path }) => path),
    []
  )
})

t.test('every plugin has a name and says what it depends on', async (t) => {
  const wrapped = plugins.filter(({ text }) => /export default fp\(/.test(text))
  t.ok(wrapped.length > 10)
  const unnamed = wrapped.filter(({ text }) => !/\{\s*name: '[a-z-]+'/.test(text)).map(({ path }) => path)
  t.strictSame(unnamed, [])
})

t.test('names say what is in them', async (t) => {
  const vague = product.filter(({ path }) => /(utils?|helpers?|common|manager|service|misc)\.ts$/.test(path))
  t.strictSame(
    vague.map(({ path }) => path),
    []
  )
})
