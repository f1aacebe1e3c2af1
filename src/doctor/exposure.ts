import { type Finding, reportOn } from './finding.ts'
import type { HttpProbe, ProbeReply } from './http-probe.ts'

interface PublicPath {
  /** As Flowise's own list has it, slash for slash: DENYLIST_URLS is compared with `===`. */
  entry: string
  /** Behind `/api/v1`: a GET that starts, changes and costs nothing, because what it names does not exist. */
  probe: string
}

const NOBODY = '00000000-0000-4000-8000-000000000000'

/**
 * What Flowise 3 answers without a key and the gateway needs without one in no case: it sends its key with every call.
 * Left out on purpose: what Flowise's own pages and health checks ask before there is a login (ping, version, settings,
 * auth, account, icons), and the OAuth2 calls that browsers and Flowise itself make.
 * An entry that a version of Flowise does not have does nothing there.
 */
export const PUBLIC_PATHS: readonly PublicPath[] = [
  { entry: '/api/v1/prediction/', probe: `/prediction/${NOBODY}` },
  { entry: '/api/v1/webhook/', probe: `/webhook/${NOBODY}` },
  { entry: '/api/v1/mcp/', probe: `/mcp/${NOBODY}` },
  { entry: '/api/v1/text-to-speech/generate', probe: '/text-to-speech/generate' },
  { entry: '/api/v1/text-to-speech/abort', probe: '/text-to-speech/abort' },
  { entry: '/api/v1/chatmessage/abort', probe: `/chatmessage/abort/${NOBODY}/${NOBODY}` },
  { entry: '/api/v1/public-chatbotConfig', probe: `/public-chatbotConfig/${NOBODY}` },
  { entry: '/api/v1/public-chatflows', probe: `/public-chatflows/${NOBODY}` },
  { entry: '/api/v1/public-executions', probe: `/public-executions/${NOBODY}` },
  { entry: '/api/v1/chatflows-streaming', probe: `/chatflows-streaming/${NOBODY}` },
  { entry: '/api/v1/chatflows-uploads', probe: `/chatflows-uploads/${NOBODY}` },
  { entry: '/api/v1/feedback', probe: `/feedback/${NOBODY}` },
  { entry: '/api/v1/leads', probe: `/leads/${NOBODY}` },
  { entry: '/api/v1/attachments', probe: `/attachments/${NOBODY}/${NOBODY}` },
  { entry: '/api/v1/get-upload-file', probe: '/get-upload-file' },
  { entry: '/api/v1/openai-assistants-file/download', probe: '/openai-assistants-file/download' },
  { entry: '/api/v1/verify/apikey/', probe: '/verify/apikey/no-such-key' },
  { entry: '/api/v1/chatflows/apikey/', probe: '/chatflows/apikey/no-such-key' }
]

/** The line for Flowise's environment. No spaces: Flowise does not trim. */
export const DENYLIST_LINE = `DENYLIST_URLS=${PUBLIC_PATHS.map(({ entry }) => entry).join(',')}`

export interface ExposureOptions {
  http: HttpProbe
  /** Others than the gateway's own network can reach Flowise's address. */
  isPublicAddress: boolean
  hasApiKey: boolean
}

interface Exposure extends Omit<ExposureOptions, 'http'> {
  open: readonly string[]
  silent: readonly string[]
}

/** Which of Flowise's paths answer without a key, and the line that closes them. */
export async function probeExposure({ http, isPublicAddress, hasApiKey }: ExposureOptions): Promise<Finding[]> {
  const report = reportOn('flowise')
  const listing = await http.get('/api/v1/chatflows?page=1&limit=1')
  if (listing.status === 200 && isJson(listing))
    return [
      report('fail', 'Flowise lists and changes chatflows for anybody, without a key', {
        next: 'update to Flowise 3 and make an account there'
      })
    ]
  const answers: [path: string, isOpen: boolean | undefined][] = []
  // One after the other: Flowise hashes keys on its only thread.
  for (const { entry, probe } of PUBLIC_PATHS)
    answers.push([
      entry.replace('/api/v1/', '').replace(/\/$/, ''),
      await http.get(`/api/v1${probe}`).then(
        (reply) => !isRefused(reply),
        () => undefined
      )
    ])
  const pathsThat = (isOpen: boolean | undefined) =>
    answers.filter(([, found]) => found === isOpen).map(([path]) => path)
  return judgeExposure({ open: pathsThat(true), silent: pathsThat(undefined), isPublicAddress, hasApiKey })
}

/** The findings, when some paths are open and some never answered. */
function judgeExposure({ open, silent, isPublicAddress, hasApiKey }: Exposure): Finding[] {
  const report = reportOn('flowise')
  const size = PUBLIC_PATHS.length
  const findings: Finding[] = []
  if (open.length > 0)
    findings.push(
      report(
        isPublicAddress ? 'fail' : 'warn',
        `${open.length} of ${size} paths answer without a key: ${open.join(', ')}`,
        {
          next: `${hasApiKey ? '' : 'first set FLOWISE_API_KEY here, then '}add this line to Flowise's environment and restart it; the gateway sends its key with every call`,
          copy: DENYLIST_LINE
        }
      )
    )
  if (silent.length > 0)
    findings.push(report('warn', `no answer at all to ${silent.join(', ')}`, { next: "look into Flowise's log" }))
  if (findings.length > 0) return findings
  return [report('ok', `none of ${size} paths that are public by default answers without a key`)]
}

/** Whether the door refused, and not the room behind it: two paths answer 401 themselves, about the key in the path. */
export function isRefused({ status, text }: Pick<ProbeReply, 'status' | 'text'>): boolean {
  if (status === 403) return true
  return status === 401 && text.trim() !== 'Unauthorized' && !text.includes('"message":"Unauthorized"')
}

function isJson({ headers }: ProbeReply): boolean {
  return headers['content-type']?.startsWith('application/json') ?? false
}
