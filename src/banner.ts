export interface BannerFacts {
  /** `http://localhost:8000` */
  url: string
  isProduction: boolean
  /** A built-in stand-in answers, not Flowise. */
  isDemo: boolean
  username: string
  /** Only in the run that made the administrator. */
  generatedPassword?: string | undefined
  /** A chatflow to try; undefined: the reader has to name one. */
  chatflowId?: string | undefined
}

/** What is printed once at start: in production a new password only, in development all that a first try needs. */
export function banner(facts: BannerFacts): string {
  const { generatedPassword, isProduction, username } = facts
  const password =
    generatedPassword === undefined
      ? []
      : [`  Administrator: ${username}   password: ${generatedPassword}   (shown only this once)`]
  if (isProduction) return lines(password)
  return lines([
    `  Gateway:       ${facts.url}`,
    `  API page:      ${facts.url}/docs`,
    ...(facts.isDemo
      ? ['  Upstream:      the built-in DEMO answers, not Flowise. Set FLOWISE_API_URL to use yours.']
      : []),
    ...password,
    '',
    '  Try it:',
    `  ${tryIt(facts)}`
  ])
}

function lines(content: string[]): string {
  return content.length === 0 ? '' : `\n${content.join('\n')}\n\n`
}

/** One line to copy: logs in inside `$(…)` and streams an answer. */
function tryIt({ url, username, generatedPassword, chatflowId }: BannerFacts): string {
  const login = JSON.stringify({ username, password: generatedPassword ?? '<password>' })
  const question = JSON.stringify({ chatflow_id: chatflowId ?? '<chatflow id>', question: 'Hello, who are you?' })
  const json = "-H 'content-type: application/json'"
  const token = `$(curl -s ${url}/api/v1/chat/authenticate ${json} -d '${login}' | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')`
  return `curl -N ${url}/api/v1/chat/predict/stream ${json} -H "authorization: Bearer ${token}" -d '${question}'`
}
