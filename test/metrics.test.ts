import t from 'tap'
import { createMetrics } from '../src/metrics.ts'

t.test('predictions are counted from start to end', async (t) => {
  const metrics = createMetrics()
  metrics.predictionStarted('sse')
  metrics.predictionStarted('json')
  metrics.predictionEnded({
    kind: 'sse',
    ending: 'completed',
    seconds: 2,
    firstEventSeconds: 0.2,
    usage: { input: 30, total: 42 }
  })
  const text = await metrics.registry.metrics()
  t.match(text, 'gateway_predictions_running{kind="sse"} 0')
  t.match(text, 'gateway_predictions_running{kind="json"} 1')
  t.match(text, 'gateway_prediction_duration_seconds_count{kind="sse",ending="completed"} 1')
  t.match(text, 'gateway_prediction_first_event_seconds_sum{kind="sse"} 0.2')
  t.match(text, 'gateway_prediction_tokens_total 42')
  t.match(text, 'gateway_prediction_direction_tokens_total{direction="input"} 30')
})

t.test('credits are counted as credits, failures by their code', async (t) => {
  const metrics = createMetrics()
  metrics.creditsMoved('held', 2_500_000)
  metrics.creditsMoved('charged', 1_000_000)
  metrics.upstreamFailed('upstream_timeout')
  metrics.ledgerDrift(3)
  metrics.pingSent()
  const text = await metrics.registry.metrics()
  t.match(text, 'gateway_credits_total{kind="held"} 2.5')
  t.match(text, 'gateway_credits_total{kind="charged"} 1')
  t.match(text, 'gateway_credits_total{kind="released"} 0')
  t.match(text, 'gateway_upstream_failures_total{code="upstream_timeout"} 1')
  t.match(text, 'gateway_ledger_drift 3')
  t.match(text, 'gateway_sse_pings_total 1')
})

t.test('requests are counted by status class, and each gateway has its own numbers', async (t) => {
  const metrics = createMetrics()
  metrics.requestEnded({ method: 'GET', route: '/health', status: 204, seconds: 0.01 })
  const name = 'gateway_http_request_duration_seconds_count'
  t.match(await metrics.registry.metrics(), `${name}{method="GET",route="/health",status="2xx"} 1`)
  t.notMatch(await createMetrics().registry.metrics(), name)
})
