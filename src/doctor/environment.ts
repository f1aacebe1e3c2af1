import type { Config } from '../config.ts'
import { type Finding, reportOn } from './finding.ts'

/** What a valid configuration still leaves to be desired. */
export function checkEnvironment(config: Config): Finding[] {
  const report = reportOn('environment')
  const { isProduction, tls, trustProxy, mongodb, redisUrl, corsOrigins } = config
  const findings = config.warnings.map((warning) => report('warn', warning.replace(/\.$/, '')))
  if (!isProduction)
    findings.push(
      report('warn', 'NODE_ENV is not production: samples as secrets, any origin and a demo are accepted', {
        next: 'set NODE_ENV=production before others use it'
      })
    )
  if (isProduction && tls === undefined && trustProxy === false)
    findings.push(
      report('warn', 'neither TLS here nor a trusted proxy in front', {
        next: 'set TLS_CERT_FILE and TLS_KEY_FILE, or TRUST_PROXY to the number of proxies that end TLS'
      })
    )
  if (isProduction && corsOrigins.includes('*'))
    findings.push(report('warn', 'CORS_ORIGINS allows every site', { next: 'list the origins of your clients' }))
  if (mongodb !== undefined && redisUrl === undefined)
    findings.push(
      report('warn', 'MONGODB_URL without REDIS_URL: each instance counts its own limits and sessions', {
        next: 'set REDIS_URL when more than one instance runs'
      })
    )
  const mode = isProduction ? 'production' : 'development'
  return [report('ok', `every variable is valid (${mode}, port ${config.port})`), ...findings]
}

/** The same for a configuration that cannot be used: one failure per sentence. */
export function environmentProblems(problems: readonly string[]): Finding[] {
  const report = reportOn('environment')
  return problems.map((problem) => report('fail', problem.replace(/\.$/, '')))
}
