const SECRET_MEMBERS = [
  'authorization',
  'cookie',
  'password',
  'passwordHash',
  'secret',
  'apiKey',
  'token',
  'access_token',
  'refresh_token',
  '["set-cookie"]',
  '["x-api-key"]'
]

/** Options of the JSON log on standard output; members that may hold a secret are blanked at the two upper levels. */
export function loggerOptions(level: string) {
  const nested = SECRET_MEMBERS.map((name) => (name.startsWith('[') ? `*${name}` : `*.${name}`))
  return { level, redact: { paths: [...SECRET_MEMBERS, ...nested], censor: '[redacted]' } }
}
