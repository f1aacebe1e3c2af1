const BEGIN = '<!-- results: written by npm run bench -->'
const END = '<!-- end of results -->'

/** The page with other results; what people wrote around them stays. @throws when the page has no place for them */
export function withResults(page: string, results: string): string {
  const begin = page.indexOf(BEGIN)
  const end = page.indexOf(END)
  if (begin < 0 || end < begin) throw new Error('docs/benchmarks.md has lost the marks around its results.')
  return `${page.slice(0, begin)}${BEGIN}\n\n${results}\n\n${page.slice(end)}`
}
