/** The page with another text in one of its sections; what people wrote around it stays. @throws when there is no such section */
export function withSection(page: string, name: string, text: string): string {
  const [before, after] = [`<!-- ${name}: written by the run -->`, `<!-- end of ${name} -->`]
  const begin = page.indexOf(before)
  const end = page.indexOf(after)
  if (begin < 0 || end < begin) throw new Error(`docs/benchmarks.md has lost the marks around its section ${name}.`)
  return `${page.slice(0, begin)}${before}\n\n${text}\n\n${page.slice(end)}`
}
