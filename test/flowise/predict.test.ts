import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createServer as createTcpServer } from 'node:net'
import t, { type Test } from 'tap'
import { createSystemClock } from '../../src/clock.ts'
import type { Hold } from '../../src/credits/ledger.ts'
import { AppError } from '../../src/errors.ts'
import {
  createFlowiseClient,
  type FlowiseClient,
  type UpstreamCall,
  type UpstreamHandler
} from '../../src/flowise/client.ts'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { buildPredictionBody } from '../../src/flowise/prediction.ts'
import { createSseParser } from '../../src/flowise/sse.ts'
import { FAULTS, type Fault, type StandIn, startStandIn } from '../stand-in/flowise.ts'

// The client only demands that there is one; how holds come about is the ledger's business.
const HOLD = { rid: 'a'.repeat(26), attempt: 'b'.repeat(26), accountId: 'u', chatflowId: 'c', amountMicro: 0 } as Hold

function createClient(t: Test, baseUrl: string): FlowiseClient {
  const client = createFlowiseClient({
    baseUrl,
    apiKey: 'flowise-key',
    clock: createSystemClock(),
    firstByteTimeoutMs: 5000
  })
  t.teardown(() => client.close())
  return client
}

async function start(t: Test): Promise<{ standIn: StandIn; client: FlowiseClient }> {
  const standIn = await startStandIn()
  t.teardown(() => standIn.close())
  return { standIn, client: createClient(t, standIn.url) }
}

interface Watched {
  call: UpstreamCall
  log: string[]
  bytes: () => Buffer
  error: () => AppError | undefined
  wasSent: () => boolean | undefined
  firstByte: Promise<void>
  finished: Promise<void>
}

function predict(
  client: FlowiseClient,
  question = 'hi',
  streaming = true,
  hooks: Partial<UpstreamHandler> = {}
): Watched {
  const body = buildPredictionBody({ question, chatId: 'chat', sessionId: 'session', streaming, overrideAllow: [] })
  const { promise: finished, resolve: finish } = Promise.withResolvers<void>()
  const { promise: firstByte, resolve: begin } = Promise.withResolvers<void>()
  const log: string[] = []
  const chunks: Buffer[] = []
  let error: AppError | undefined
  let wasSent: boolean | undefined
  const call = client.predict(
    HOLD,
    { chatflowId: DEMO_IDS.echo, body, clientAddress: '203.0.113.9' },
    {
      onHead(status, headers) {
        log.push(`head ${status}`)
        hooks.onHead?.(status, headers)
      },
      onData(chunk) {
        if (chunks.push(Buffer.from(chunk)) === 1) log.push('data')
        hooks.onData?.(chunk)
        begin()
      },
      onEnd() {
        log.push('end')
        hooks.onEnd?.()
        finish()
      },
      onError(caught, isAtFlowise) {
        log.push(caught.code)
        error = caught
        wasSent = isAtFlowise
        finish()
      }
    }
  )
  return {
    call,
    log,
    bytes: () => Buffer.concat(chunks),
    error: () => error,
    wasSent: () => wasSent,
    firstByte,
    finished
  }
}

t.test('the request is built new: body, key, one address, nothing else', async (t) => {
  const { standIn, client } = await start(t)
  const run = predict(client, 'héllo 🙂')
  await run.finished
  t.strictSame(run.log, ['head 200', 'data', 'end'])
  const [sent] = standIn.predictions
  t.match(sent, { method: 'POST', url: `/api/v1/prediction/${DEMO_IDS.echo}` })
  t.strictSame(sent?.body, {
    question: 'héllo 🙂',
    chatId: 'chat',
    overrideConfig: { sessionId: 'session' },
    streaming: true
  })
  const { host, connection, ...headers } = sent?.headers ?? {}
  t.strictSame(headers, {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(JSON.stringify(sent?.body))),
    accept: 'text/event-stream',
    'x-forwarded-for': '203.0.113.9',
    authorization: 'Bearer flowise-key'
  })
  t.equal(host, standIn.url.slice('http://'.length))
  t.equal(connection, 'keep-alive')
})

t.test("status and body are handed over as they come, judging them is the caller's", async (t) => {
  const { standIn, client } = await start(t)
  const table: [Fault, number][] = [
    [FAULTS.failure, 500],
    [FAULTS.unauthorized, 401],
    [FAULTS.rateLimited, 429],
    [FAULTS.html, 200]
  ]
  for (const [fault, status] of table) {
    standIn.next(fault)
    const run = predict(client, 'x', false)
    await run.finished
    t.strictSame(run.log, [`head ${status}`, 'data', 'end'])
    t.equal(run.bytes().toString(), fault.body)
  }
})

t.test('refused, reset before the head, broken after it: each has its code and is sent once', async (t) => {
  const { standIn, client } = await start(t)
  standIn.next(FAULTS.refused)
  const reset = predict(client)
  await reset.finished
  t.strictSame(reset.log, ['upstream_unavailable'])
  t.ok(reset.error()?.cause)
  t.equal(reset.wasSent(), true)
  t.equal(standIn.predictions.length, 1, 'no second try')
  for (const fault of [{ end: 'cut' }, { cutAtByte: 40 }, { body: '{"text":"half', end: 'cut' }] as const) {
    standIn.next(fault)
    const cut = predict(client)
    await cut.finished
    t.strictSame([cut.log[0], cut.log.at(-1)], ['head 200', 'upstream_incomplete'])
  }
  await standIn.close()
  const refused = predict(client)
  await refused.finished
  t.strictSame(refused.log, ['upstream_unavailable'])
  t.equal(refused.wasSent(), false)
})

t.test('what is not HTTP is an upstream error', async (t) => {
  const server = createTcpServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => socket.end('SSH-2.0-OpenSSH_9.6\r\n'))
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void server.close())
  const { port } = server.address() as AddressInfo
  const run = predict(createClient(t, `http://127.0.0.1:${port}`))
  await run.finished
  t.strictSame(run.log, ['upstream_error'])
})

t.test('every split and dialect of the stand-in reads the same', async (t) => {
  const { client } = await start(t)
  const faults: Fault[] = [
    {},
    { framing: 'old' },
    { framing: 'crlf' },
    { framing: 'cr' },
    { framing: 'named', heartbeats: 2 },
    { framing: 'spaced', pieceBytes: 1 },
    { pieceBytes: 7 }
  ]
  for (const fault of faults) {
    const tokens: unknown[] = []
    const parser = createSseParser({
      maxFrameBytes: 10_000,
      onFrame: ({ event, data }) => event === 'token' && tokens.push(data)
    })
    const run = predict(client, JSON.stringify({ fault }), true, {
      onData: (chunk) => parser.push(chunk),
      onEnd: () => parser.end()
    })
    await run.finished
    t.strictSame(tokens, ['Hello ', 'from ', 'Flowise 🙂'], JSON.stringify(fault))
  }
})

t.test('abort closes the connection at once and is silent from then on', async (t) => {
  const { standIn, client } = await start(t)
  standIn.next({ gates: { 2: 'middle' } })
  const run = predict(client)
  await run.firstByte
  run.call.abort()
  await standIn.waitFor(({ isLeft }) => isLeft)
  standIn.gate('middle').open()
  standIn.next(FAULTS.hang)
  const hanging = predict(client)
  await standIn.waitFor((request) => request === standIn.predictions[1])
  hanging.call.abort()
  await standIn.waitFor((request) => request.isLeft && request === standIn.predictions[1])
  const early = predict(client)
  early.call.abort()
  await predict(client).finished
  t.strictSame([run.log, hanging.log, early.log], [['head 200', 'data'], [], []])
})

t.test('a paused call stops the sender, resuming brings every byte', async (t) => {
  const { standIn, client } = await start(t)
  const size = 30_000_000
  standIn.next({ body: 'x'.repeat(size), pieceBytes: 65_536 })
  const run = predict(client, 'x', false)
  await run.firstByte
  run.call.pause()
  const [sent] = standIn.predictions
  const settled = await stable(() => sent?.sentBytes ?? 0)
  t.ok(settled < size / 2, `${settled} bytes are in the buffers of the system`)
  t.ok(run.bytes().length < size / 2)
  run.call.resume()
  await run.finished
  t.equal(run.bytes().length, size)
})

t.test('what the handler throws ends the call with its code', async (t) => {
  const { standIn, client } = await start(t)
  const tooLarge = (): never => {
    throw new AppError('upstream_too_large')
  }
  const broken = (): never => {
    throw new Error('a fault of ours')
  }
  const large = predict(client, 'x', true, { onData: tooLarge })
  await large.finished
  t.equal(large.log.at(-1), 'upstream_too_large')
  for (const hook of ['onHead', 'onData', 'onEnd']) {
    const run = predict(client, 'x', true, { [hook]: broken })
    await run.finished
    t.equal(run.log.at(-1), 'internal_error', hook)
    t.equal(run.log.filter((entry) => entry === 'internal_error').length, 1)
  }
  t.equal(standIn.predictions.length, 4)
})

t.test('informational answers are not the head', async (t) => {
  const server = createServer((_request, response) => {
    response.writeEarlyHints({ link: '</x>; rel=preload' })
    response.end('{}')
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void server.close())
  const { port } = server.address() as AddressInfo
  const run = predict(createClient(t, `http://127.0.0.1:${port}`), 'x', false)
  await run.finished
  t.strictSame(run.log, ['head 200', 'data', 'end'])
})

/** The value once it has stayed the same for many turns of the event loop. */
async function stable(read: () => number): Promise<number> {
  let value = read()
  for (let turns = 0; turns < 200; turns += 1) {
    await new Promise((resolve) => void setImmediate(resolve))
    if (read() === value) continue
    value = read()
    turns = 0
  }
  return value
}
