/** What is wrong, for every reader of a variable: one sentence per problem. */
export type Problems = string[]

/** An http or https address without what no base URL needs; undefined when there is none, or none that can be used. */
export function readHttpUrl(name: string, value: string | undefined, problems: Problems): URL | undefined {
  if (value === undefined) return undefined
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (url && ['http:', 'https:'].includes(url.protocol) && !url.search && !url.hash && !url.username && !url.password)
    return url
  problems.push(`${name} must be an http or https URL without credentials, query or fragment.`)
  return undefined
}

/** A base URL: one `/` at its end is removed, then one `ending`. */
export function readBaseUrl(
  name: string,
  value: string | undefined,
  { ending, problems }: { ending: RegExp; problems: Problems }
): string | undefined {
  if (readHttpUrl(name, value, problems) === undefined) return undefined
  return value?.replace(/\/$/, '').replace(ending, '')
}
