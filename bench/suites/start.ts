import { BASELINE, gatewaysOn, httpProxy } from '../candidates.ts'
import type { Suite } from './suite.ts'

/** How long a new process takes. */
export const startSuite: Suite = {
  title: 'Start',
  text: () =>
    'From the start of the process to the first connection it accepts, on an installation that is there already and a warm disk.',
  metrics: [{ key: 'ms', title: 'ms', digits: 0, ratioTo: BASELINE }],
  goals: [{ what: 'start, warm', metric: 'ms', of: 'gateway', atMost: 1000, unit: ' ms', digits: 0 }],
  isFresh: true,

  async candidates({ upstreamUrl, installation }) {
    const [gateway] = gatewaysOn(upstreamUrl, await installation())
    return [{ ...gateway, title: 'gateway' }, httpProxy(upstreamUrl)]
  },

  async measure(_bench, { listeningMs }) {
    return listeningMs === undefined ? {} : { ms: listeningMs }
  }
}
