import type { FastifyInstance, FastifyRequest, preHandlerAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { chatOwnerOf, identityOf } from '../src/auth/identity.ts'
import { AppError, catalogue } from '../src/errors.ts'
import type { CheckedFile } from '../src/files/passing.ts'
import { createExchange, type Exchange, type Outcome } from '../src/flowise/exchange.ts'
import { createFrame } from '../src/flowise/frame.ts'
import { createTranscript } from '../src/flowise/transcript.ts'
import {
  allowedOverrides,
  type Indexed,
  readIndexed,
  readStoredUpsert,
  type StoredUpsert,
  type UpsertBody,
  upsertHash
} from '../src/flowise/upsert-request.ts'
import { nextUpstreamIds } from '../src/flowise/upstream-ids.ts'
import { runIdOf } from '../src/ids.ts'
import type { ChatflowRow } from '../src/store/collections.ts'
import { idempotencyKeyOf, redactionFor, REPLAYED } from './exchange.ts'

declare module 'fastify' {
  interface FastifyInstance {
    openUpsert: preHandlerAsyncHookHandler
    /** Has Flowise index the documents of the request, and settles what that costs. @throws the upstream codes */
    runUpsert(request: FastifyRequest): Promise<StoredUpsert>
  }
  interface FastifyRequest {
    /** What is to be indexed; set by openUpsert. */
    upsert: Upserting | null
  }
}

interface Upserting {
  chatId: string | undefined
  stopNodeId: string | undefined
  overrideConfig: Record<string, unknown>
  files: readonly CheckedFile[]
}

/** What is paid for: as much an output as a tool that was used. */
const INDEXED = createFrame('usedTools', [{ tool: 'upsert' }])

/**
 * Documents for a chatflow's vector store. In money it is a prediction: held before, settled after success, given back
 * after failure. Flowise cannot be stopped at it, so a client that leaves changes nothing: it goes on, and is charged
 * when it has succeeded.
 */
export default fp(
  async function upsert(app: FastifyInstance) {
    const running = new Set<Exchange>()
    app.decorateRequest('upsert', null)

    app.decorate('openUpsert', async function openUpsert(request, reply) {
      const { grant } = request
      if (!grant) throw new AppError('internal_error', { detail: 'openUpsert ran too early' })
      const chatflow = pricedForUpsert(grant.chatflow)
      const { userId } = identityOf(request)
      const body = (request.body ?? {}) as UpsertBody
      const sent = request.fileParts ?? []
      const key = idempotencyKeyOf(request)
      const bodyHash = upsertHash(chatflow.id, body, sent)
      const begun = key === undefined ? undefined : await app.idempotency.begin({ accountId: userId, key, bodyHash })
      if (begun?.state === 'replay') {
        request.replay = begun.receipt
        reply.header(REPLAYED, 'true')
        return
      }
      const messageId = begun?.messageId ?? app.ids.ordered()
      const run = key === undefined ? undefined : { accountId: userId, key, rid: runIdOf(messageId) }
      try {
        const files = await app.checkIndexed(userId, sent)
        const { chatId } = body
        // Without a chat the documents are for all.
        const owner = chatOwnerOf(identityOf(request))
        const sessionId = chatId ? await app.sessionOfChat(owner, chatflow.id, chatId) : undefined
        request.upsert = { ...(await read(userId, chatflow, body, sessionId)), files }
        request.fileParts = null
        request.exchange = open(request, { messageId, sessionId, chatflow })
      } catch (error) {
        if (run) await app.idempotency.forget(run)
        throw error
      }
      const { exchange } = request
      if (run) app.keepKey(exchange, run, (outcome) => receiptOf(exchange, outcome))
    })

    app.decorate('runUpsert', async function runUpsert(request) {
      const { exchange, bill, upsert: asked, replay } = request
      if (replay !== null) return replayed(replay)
      if (!exchange || !bill || !asked) throw new AppError('internal_error', { detail: 'runUpsert ran too early' })
      const left = new AbortController()
      exchange.onStop((ending) => {
        exchange.end({ ending, isClean: true, ...(ending === 'drained' ? { code: 'draining' } : {}) })
        left.abort()
      })
      if (!exchange.outcome) {
        exchange.isSent = true
        const limits = { timeoutMs: app.config.flowise.deadlineMs, signal: left.signal }
        request.upsert = null
        app.flowise.upsert(bill.hold, { chatflowId: exchange.chatflow.id, ...asked }, limits).then(
          (said) => succeed(exchange, readIndexed(said)),
          (error: unknown) => fail(exchange, error)
        )
      }
      const { code, cause } = await exchange.concluded
      if (code) throw new AppError(code, {}, { cause })
      return storedOf(exchange)
    })

    const results = new WeakMap<Exchange, Indexed>()

    function succeed(exchange: Exchange, indexed: Indexed): void {
      results.set(exchange, indexed)
      exchange.transcript.add(INDEXED)
      exchange.end({ ending: 'completed', isClean: true })
    }

    function fail(exchange: Exchange, cause: unknown): void {
      const code = cause instanceof AppError ? cause.code : 'internal_error'
      exchange.end({ ending: 'failed_before_output', code, cause, isClean: true })
    }

    function storedOf(exchange: Exchange): StoredUpsert {
      const { chargedMicro = 0, availableMicro } = exchange.receipt ?? {}
      const available = availableMicro === undefined ? {} : { availableMicro }
      return { purpose: 'upsert', indexed: results.get(exchange) ?? {}, chargedMicro, ...available }
    }

    function open(
      request: FastifyRequest,
      { messageId, sessionId, chatflow }: { messageId: string; sessionId: string | undefined; chatflow: ChatflowRow }
    ): Exchange {
      const opened = createExchange({
        runId: runIdOf(messageId),
        userId: identityOf(request).userId,
        sessionId: sessionId ?? '',
        messageId,
        requestId: request.id,
        chatflow,
        kind: 'json',
        purpose: 'upsert',
        startedAt: app.clock.now(),
        transcript: createTranscript({ allowed: [] }),
        redaction: redactionFor(request, messageId)
      })
      running.add(opened)
      opened.beforeConcluded(() => void running.delete(opened))
      app.lifecycle.run(opened.concluded)
      return opened
    }

    async function read(
      userId: string,
      { id: chatflowId, overrideAllow = [] }: ChatflowRow,
      { stopNodeId, overrideConfig }: UpsertBody,
      sessionId: string | undefined
    ): Promise<Omit<Upserting, 'files'>> {
      const fresh = nextUpstreamIds(null, app.ids.uuid)
      const place = sessionId === undefined ? undefined : { userId, chatflowId, sessionId }
      const upstream = place && (await app.history.prepare(place, fresh, app.clock.now()))
      return {
        chatId: upstream?.chatId,
        stopNodeId: stopNodeId || undefined,
        overrideConfig: allowedOverrides(overrideConfig, overrideAllow)
      }
    }

    /** What repetitions of the key are answered: a success, and a failure of Flowise. */
    function receiptOf(opened: Exchange, { code, ending }: Outcome): StoredUpsert | undefined {
      const isDone = ending === 'completed' || (code !== undefined && catalogue[code][0] === 'upstream')
      return isDone ? { ...storedOf(opened), ...(code ? { code } : {}) } : undefined
    }

    app.lifecycle.drainSignal.addEventListener('abort', function endUpserts() {
      for (const exchange of running) exchange.stop('drained')
    })
  },
  {
    name: 'upsert',
    dependencies: ['exchange', 'passed-files', 'history', 'flowise', 'credits', 'lifecycle']
  }
)

/** An upsert has one price, whatever a prediction costs. @throws upserts_forbidden where nobody has set one: all users read what one indexes */
function pricedForUpsert({ metered: _metered, ...chatflow }: ChatflowRow): ChatflowRow {
  const { upsertPriceMicro } = chatflow
  if (upsertPriceMicro === undefined) throw new AppError('upserts_forbidden')
  return { ...chatflow, priceMicro: upsertPriceMicro }
}

/** @throws what the first request was told, or upstream_incomplete where its process died */
function replayed(receipt: unknown): StoredUpsert {
  const stored = readStoredUpsert(receipt)
  if (!stored) throw new AppError('upstream_incomplete', {}, { cause: new Error('the upsert died before its end') })
  if (stored.code) throw new AppError(stored.code)
  return stored
}
