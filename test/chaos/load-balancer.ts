import { type IncomingHttpHeaders, request } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import type { Gateway } from './gateways.ts'

/** Longer than the longest answer in one piece. Without one the client gives up, and the gateway gets no requests for a while. */
const SILENCE_MS = 40_000
const AVOIDED_MS = 10_000
/** How long a request waits while no gateway takes it. */
const NOBODY_MS = 15_000
const LOOK_MS = 100

export interface Call {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Below /api/v1. */
  path: string
  token: string
  body?: unknown
  key?: string
  /** Told of each piece with all that has come; true makes the client leave. */
  watch?: (text: string, status: number) => boolean
}

export interface Reply {
  /** `whole`; `cut` by the other side or given up; `left` by this client; `untaken`: it never reached a gateway. */
  kind: 'whole' | 'cut' | 'left' | 'untaken'
  /** 0 without a head. */
  status: number
  headers: IncomingHttpHeaders
  text: string
  at: number
}

/**
 * One request through the gateways in turn. One that takes no connection is skipped; a request that was taken is never sent
 * again: that is up to who knows whether it may be.
 */
export type Send = (call: Call) => Promise<Reply>

/** A load balancer's loop over these gateways, in the process of the clients. */
export function createLoadBalancer(gateways: Gateway[]): Send {
  const avoidedUntil = new Map<Gateway, number>()
  let turn = 0

  return async function send(call) {
    const until = Date.now() + NOBODY_MS
    for (;;) {
      for (let tries = 0; tries < gateways.length; tries++) {
        const gateway = gateways[turn++ % gateways.length]
        if (!gateway || (avoidedUntil.get(gateway) ?? 0) > Date.now()) continue
        const reply = await exchange(gateway.url, call, () => void avoidedUntil.set(gateway, Date.now() + AVOIDED_MS))
        if (reply.kind !== 'untaken') return reply
      }
      if (Date.now() > until) return { kind: 'untaken', status: 0, headers: {}, text: '', at: Date.now() }
      await wait(LOOK_MS)
    }
  }
}

function exchange(url: string, call: Call, onSilence: () => void): Promise<Reply> {
  const { method, path, token, body, key, watch } = call
  return new Promise((resolve) => {
    let status = 0
    let headers: IncomingHttpHeaders = {}
    let text = ''
    let isConnected = false
    const settle = (kind: Reply['kind']) => resolve({ kind, status, headers, text, at: Date.now() })
    const sent = request(`${url}/api/v1${path}`, {
      method,
      agent: false,
      timeout: SILENCE_MS,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { 'idempotency-key': key })
      }
    })
    sent.on('socket', (socket) => socket.once('connect', () => (isConnected = true)))
    sent.on('timeout', () => {
      onSilence()
      sent.destroy()
    })
    sent.on('error', () => settle(isConnected ? 'cut' : 'untaken'))
    sent.on('response', (response) => {
      status = response.statusCode ?? 0
      headers = response.headers
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
        if (!watch?.(text, status)) return
        settle('left')
        sent.destroy()
      })
      response.on('error', () => settle('cut'))
      response.on('close', () => settle(response.complete ? 'whole' : 'cut'))
    })
    sent.end(body === undefined ? undefined : JSON.stringify(body))
  })
}
