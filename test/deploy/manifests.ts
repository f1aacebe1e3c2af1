import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'

export const ROOT = join(import.meta.dirname, '../..')

export interface ComposeService {
  image?: string
  build?: string
  profiles?: string[]
  ports?: string[]
  environment?: Record<string, string>
  volumes?: string[]
  networks: string[]
  stop_grace_period?: string
  cap_drop?: string[]
  security_opt?: string[]
  healthcheck?: unknown
  command?: string[]
}

export interface Compose {
  services: Record<string, ComposeService>
  networks: Record<string, { internal?: boolean } | null>
  volumes: Record<string, unknown>
}

interface Labels {
  [name: string]: string
}

export interface Manifest {
  kind: string
  metadata?: { name: string; labels?: Labels }
  spec?: unknown
}

interface Probe {
  httpGet: { path: string; port: string }
  periodSeconds: number
  timeoutSeconds: number
  failureThreshold: number
}

export interface PodSpec {
  terminationGracePeriodSeconds: number
  automountServiceAccountToken: boolean
  serviceAccountName: string
  securityContext: { runAsNonRoot: boolean; seccompProfile: { type: string } }
  topologySpreadConstraints: { labelSelector: { matchLabels: Labels } }[]
  containers: [
    {
      image: string
      envFrom: unknown
      env: { name: string; value?: string; valueFrom?: { secretKeyRef: { name: string; key: string } } }[]
      ports: { name: string; containerPort: number }[]
      startupProbe: Probe
      livenessProbe: Probe
      readinessProbe: Probe
      lifecycle: { preStop: { exec: { command: string[] } } }
      resources: { requests: object; limits: object }
      securityContext: object
    }
  ]
}

/** A file of the project, as text. */
export function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

/** A compose file with its anchors resolved and its variables as written. */
export function readCompose(path = 'compose.yaml'): Compose {
  return parse(read(path), { merge: true })
}

/** All documents below deploy/kubernetes, by path. */
export function readManifests(): Map<string, Manifest> {
  const paths = globSync('deploy/kubernetes/**/*.yaml', { cwd: ROOT })
  return new Map(paths.map((path): [string, Manifest] => [path, parse(read(path))]))
}

/** `name=value` lines, without comments. */
export function readVariables(path: string): Record<string, string> {
  const lines = read(path).matchAll(/^([A-Z_]+)=(.*)$/gm)
  return Object.fromEntries([...lines].map(([, name = '', value = '']) => [name, value]))
}

/** Seconds that a gateway may need from SIGTERM to its end: the drain, and what serve.ts gives the rest. */
export function secondsToEnd(drainSeconds: number): number {
  const closeMs = /const CLOSE_MS = ([\d_]+)/.exec(read('src/serve.ts'))?.[1]?.replaceAll('_', '')
  if (closeMs === undefined) throw new Error('src/serve.ts has no CLOSE_MS')
  return drainSeconds + Number(closeMs) / 1000
}
