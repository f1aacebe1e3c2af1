import t from 'tap'
import { loadConfig } from '../../src/config.ts'
import { environment } from '../../src/environment.ts'
import { type PodSpec, readManifests, readVariables, secondsToEnd } from './manifests.ts'

const SECRETS = ['JWT_SECRET_KEY', 'MONGODB_URL', 'REDIS_URL', 'FLOWISE_API_KEY', 'ADMIN_PASSWORD', 'METRICS_TOKEN']
const LABELS = { 'app.kubernetes.io/name': 'flowise-gateway' }
const BASE = 'deploy/kubernetes/base'

const manifests = readManifests()
const variables = readVariables(`${BASE}/gateway.env`)
const { template, strategy, ...rest } = specOf('deployment') as {
  template: { metadata: { labels: object }; spec: PodSpec }
  strategy: unknown
  selector: unknown
  replicas?: number
}
const pod = template.spec
const [container] = pod.containers

function specOf(name: string): unknown {
  return manifests.get(`${BASE}/${name}.yaml`)?.spec
}

t.test('all manifests are there and are read', async (t) => {
  t.same(
    [...manifests.values()].map(({ kind }) => kind).sort(),
    [
      'Deployment',
      'HorizontalPodAutoscaler',
      'Ingress',
      'Kustomization',
      'Kustomization',
      'NetworkPolicy',
      'NetworkPolicy',
      'PodDisruptionBudget',
      'Service',
      'ServiceAccount'
    ],
    'and no Secret'
  )
})

t.test('a pod gets the time it needs to end', async (t) => {
  const [program, seconds] = container.lifecycle.preStop.exec.command
  t.equal(program, 'sleep')
  const needed = Number(seconds) + secondsToEnd(Number(variables.DRAIN_SECONDS))
  t.ok(pod.terminationGracePeriodSeconds > needed, `${pod.terminationGracePeriodSeconds} s for ${needed} s`)
  t.ok(pod.terminationGracePeriodSeconds <= needed + 15, 'and hardly more')
  const { periodSeconds, failureThreshold } = container.readinessProbe
  t.ok(Number(seconds) >= periodSeconds * failureThreshold)
})

t.test('liveness asks nobody, readiness asks all', async (t) => {
  t.same(container.livenessProbe.httpGet, { path: '/health', port: 'http' })
  t.same(container.startupProbe.httpGet, { path: '/health', port: 'http' })
  t.same(container.readinessProbe.httpGet, { path: '/ready', port: 'http' })
  t.ok(container.readinessProbe.timeoutSeconds > 2, 'its own questions have 2 s')
})

t.test('a pod may do nothing but serve', async (t) => {
  t.match(pod.securityContext, { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
  t.same(container.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] }
  })
  t.equal(pod.automountServiceAccountToken, false)
  t.equal(pod.serviceAccountName, manifests.get(`${BASE}/service-account.yaml`)?.metadata?.name)
  t.same(Object.keys(container.resources.requests), ['cpu', 'memory', 'ephemeral-storage'])
  t.same(Object.keys(container.resources.limits), ['memory', 'ephemeral-storage'])
  t.match(container.image, /:\d+\.\d+\.\d+$/)
})

t.test('secrets come by reference, everything else from the configuration', async (t) => {
  t.same(
    container.env,
    SECRETS.map((name) => ({ name, valueFrom: { secretKeyRef: { name: 'flowise-gateway', key: name } } }))
  )
  for (const name of Object.keys(variables)) t.ok(name in environment.properties && !SECRETS.includes(name), name)
  const given = {
    ...variables,
    JWT_SECRET_KEY: 'x'.repeat(32),
    MONGODB_URL: 'mongodb://mongo',
    REDIS_URL: 'redis://redis',
    ADMIN_PASSWORD: 'a password'
  }
  t.match(loadConfig(given), { isProduction: true, trustProxy: 1, warnings: [] })
})

t.test('everything is about the same pods', async (t) => {
  t.same(template.metadata.labels, LABELS)
  t.same(rest.selector, { matchLabels: LABELS })
  t.match(specOf('service'), { selector: LABELS, ports: [{ targetPort: 'http' }] })
  // An empty selector would be that of all pods in the namespace.
  t.match(specOf('pod-disruption-budget'), { selector: { matchLabels: LABELS } })
  t.match(specOf('network-policy'), { podSelector: { matchLabels: LABELS } })
  for (const { labelSelector } of pod.topologySpreadConstraints) t.same(labelSelector, { matchLabels: LABELS })
  t.match(container.ports, [{ name: 'http', containerPort: loadConfig({}).port }])
})

t.test('one pod at a time goes, and the autoscaler alone counts them', async (t) => {
  t.match(strategy, { rollingUpdate: { maxUnavailable: 0 } })
  t.match(specOf('pod-disruption-budget'), { maxUnavailable: 1, unhealthyPodEvictionPolicy: 'AlwaysAllow' })
  t.equal(rest.replicas, undefined)
  t.match(specOf('horizontal-pod-autoscaler'), {
    minReplicas: 3,
    scaleTargetRef: { kind: 'Deployment', name: 'flowise-gateway' },
    behavior: { scaleDown: { policies: [{ type: 'Pods', value: 1 }] } }
  })
})

t.test('the example of an ingress has the patience and the room that streams need', async (t) => {
  const ingress = manifests.get('deploy/kubernetes/example/ingress.yaml')
  const annotations = (ingress?.metadata as { annotations?: Record<string, string> } | undefined)?.annotations ?? {}
  const nginx = (name: string) => annotations[`nginx.ingress.kubernetes.io/${name}`]
  const { flowise, limits } = loadConfig({})
  t.ok(Number(nginx('proxy-read-timeout')) * 1000 > flowise.deadlineMs)
  t.ok(Number.parseInt(annotations['haproxy.org/timeout-server'] ?? '', 10) * 1000 > flowise.deadlineMs)
  t.ok(Number.parseInt(nginx('proxy-body-size') ?? '', 10) * 1_048_576 >= limits.bodyBytes)
  t.equal(nginx('proxy-buffering'), 'off')
  t.notMatch(nginx('proxy-next-upstream'), /non_idempotent|http_5/)
})
