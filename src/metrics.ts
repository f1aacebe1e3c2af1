import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { createCounts, createHistogram } from './tallies.ts'

export interface PredictionEnd {
  kind: 'json' | 'sse'
  /** A value of the credit outcome table: a small, fixed set. */
  ending: string
  seconds: number
  firstEventSeconds?: number
  /** As the flow reported them; input and output where it told them apart. */
  usage?: { readonly input?: number; readonly output?: number; readonly total: number }
}

export interface RequestEnd {
  method: string
  /** The route pattern, never the address asked for. */
  route: string
  status: number
  seconds: number
}

/** What the gateway counts; every label has few values, so that no client can make the series grow. */
export interface Metrics {
  readonly registry: Registry
  requestEnded(end: RequestEnd): void
  predictionStarted(kind: 'json' | 'sse'): void
  predictionEnded(end: PredictionEnd): void
  creditsMoved(kind: 'held' | 'charged' | 'released', micro: number): void
  upstreamFailed(code: string): void
  /** Problems that the last check of the ledger found; 0 is the only good value. */
  ledgerDrift(count: number): void
  /** Whether processes share rate limits and leases, as they are meant to. */
  busUp(isUp: boolean): void
  pingSent(): void
  /** What became of a charge, or of a try, at the accounting service. */
  chargeTold(outcome: string): void
  /** Charges on their way to the accounting service, and those that somebody should compare with its books. */
  accountingCounted(counts: { pending: number; items: number }): void
}

const MICRO = 1_000_000
const STATUS_CLASSES = ['', '1xx', '2xx', '3xx', '4xx', '5xx']
const REQUEST_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
const PREDICTION_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600]

/** Counters in a registry of their own: two gateways in one process do not share numbers. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const requests = createHistogram(
    {
      name: 'gateway_http_request_duration_seconds',
      help: 'HTTP requests by method, route and status class',
      labelNames: ['method', 'route', 'status'],
      registry
    },
    REQUEST_SECONDS
  )
  const runningNow = { json: 0, sse: 0 }
  const running = new Gauge({
    name: 'gateway_predictions_running',
    help: 'Predictions that are running now',
    labelNames: ['kind'],
    registers: [],
    collect() {
      for (const [kind, count] of Object.entries(runningNow)) this.set({ kind }, count)
    }
  })
  registry.registerMetric(running)
  const predictions = createHistogram(
    {
      name: 'gateway_prediction_duration_seconds',
      help: 'Predictions by how they ended',
      labelNames: ['kind', 'ending'],
      registry
    },
    PREDICTION_SECONDS
  )
  const firstEvents = createHistogram(
    {
      name: 'gateway_prediction_first_event_seconds',
      help: "Time to Flowise's first event or JSON answer",
      labelNames: ['kind'],
      registry
    },
    PREDICTION_SECONDS
  )
  const tokens = createCounts({
    name: 'gateway_prediction_tokens_total',
    help: 'Tokens Flowise reported',
    labelNames: [],
    registry
  })
  const tokensByDirection = createCounts({
    name: 'gateway_prediction_direction_tokens_total',
    help: 'Tokens Flowise reported as input or as output of its models; what it reports only in sum is not among them',
    labelNames: ['direction'],
    registry
  })
  const microMoved = { held: 0, charged: 0, released: 0 }
  const credits = new Counter({
    name: 'gateway_credits_total',
    help: 'Credits by what happened to them',
    labelNames: ['kind'],
    registers: [],
    collect() {
      this.reset()
      for (const [kind, micro] of Object.entries(microMoved)) this.inc({ kind }, micro / MICRO)
    }
  })
  registry.registerMetric(credits)
  const failures = new Counter({
    name: 'gateway_upstream_failures_total',
    help: 'Predictions that Flowise failed, by error code',
    labelNames: ['code'],
    registers
  })
  const drift = new Gauge({ name: 'gateway_ledger_drift', help: 'Accounts whose ledger does not add up', registers })
  const bus = new Gauge({
    name: 'gateway_bus_up',
    help: '1 while rate limits, session leases and messages are shared as configured, 0 while Redis is away',
    registers
  })
  const pings = new Counter({ name: 'gateway_sse_pings_total', help: 'Pings sent into silent streams', registers })
  const told = new Counter({
    name: 'gateway_accounting_charges_total',
    help: 'Charges, and tries that were put off, at the accounting service by outcome',
    labelNames: ['outcome'],
    registers
  })
  const pending = new Gauge({
    name: 'gateway_accounting_charges_pending',
    help: 'Charges on their way to the accounting service',
    registers
  })
  const items = new Gauge({
    name: 'gateway_accounting_items',
    help: 'Charges to compare with the books of the accounting service; npm run verify lists them',
    registers
  })

  return {
    registry,
    requestEnded: ({ method, route, status, seconds }) =>
      requests.observe(seconds, method, route, STATUS_CLASSES[Math.floor(status / 100)]),
    predictionStarted(kind) {
      runningNow[kind]++
    },
    predictionEnded({ kind, ending, seconds, firstEventSeconds, usage }) {
      runningNow[kind]--
      predictions.observe(seconds, kind, ending)
      if (firstEventSeconds !== undefined) firstEvents.observe(firstEventSeconds, kind)
      if (!usage) return
      tokens.add('', usage.total)
      tokensByDirection.add('input', usage.input ?? 0)
      tokensByDirection.add('output', usage.output ?? 0)
    },
    creditsMoved(kind, micro) {
      microMoved[kind] += micro
    },
    upstreamFailed: (code) => failures.inc({ code }),
    ledgerDrift: (count) => drift.set(count),
    busUp: (isUp) => bus.set(isUp ? 1 : 0),
    pingSent: () => pings.inc(),
    chargeTold: (outcome) => told.inc({ outcome }),
    accountingCounted(counts) {
      pending.set(counts.pending)
      items.set(counts.items)
    }
  }
}
