import { join } from 'node:path'
import autoload from '@fastify/autoload'
import { SerializerSelector } from '@fastify/fast-json-stringify-compiler'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, {
  type FastifyInstance,
  type FastifyServerFactory,
  type FastifyServerOptions,
  LogController
} from 'fastify'
import type { Logger } from 'pino'
import accounting from '../plugins/accounting.ts'
import administration from '../plugins/administration.ts'
import apiKeys from '../plugins/api-keys.ts'
import audit from '../plugins/audit.ts'
import answers from '../plugins/answers.ts'
import arrivals from '../plugins/arrivals.ts'
import attachments from '../plugins/attachments.ts'
import auth from '../plugins/auth.ts'
import callLimits from '../plugins/call-limits.ts'
import brokenRequest, { answerBrokenRequest } from '../plugins/broken-request.ts'
import blobs from '../plugins/blobs.ts'
import bus from '../plugins/bus.ts'
import chatflows from '../plugins/chatflows.ts'
import configuration from '../plugins/configuration.ts'
import cors from '../plugins/cors.ts'
import credits from '../plugins/credits.ts'
import embedTokens from '../plugins/embed-tokens.ts'
import exchange from '../plugins/exchange.ts'
import feedback from '../plugins/feedback.ts'
import files from '../plugins/files.ts'
import followers from '../plugins/followers.ts'
import flowise from '../plugins/flowise.ts'
import flowiseSurface from '../plugins/flowise-surface.ts'
import guard from '../plugins/guard.ts'
import history from '../plugins/history.ts'
import leads from '../plugins/leads.ts'
import lifecycle from '../plugins/lifecycle.ts'
import metrics from '../plugins/metrics.ts'
import openai, { isOpenAiUrl, sendOpenAiError } from '../plugins/openai.ts'
import openapi from '../plugins/openapi.ts'
import parsing from '../plugins/parsing.ts'
import passedFiles from '../plugins/passed-files.ts'
import permissions from '../plugins/permissions.ts'
import prediction from '../plugins/prediction.ts'
import flowiseAnswers from '../plugins/flowise-answers.ts'
import predictionStream from '../plugins/prediction-stream.ts'
import problem, { sendProblem, toAppError } from '../plugins/problem.ts'
import rateLimit from '../plugins/rate-limit.ts'
import reach from '../plugins/reach.ts'
import readiness from '../plugins/readiness.ts'
import requestContext, { requestIdOf } from '../plugins/request-context.ts'
import requestLog from '../plugins/request-log.ts'
import securityHeaders, { defaultHeaders } from '../plugins/security-headers.ts'
import speech from '../plugins/speech.ts'
import store from '../plugins/store.ts'
import storedFiles from '../plugins/stored-files.ts'
import streams from '../plugins/streams.ts'
import testStream from '../plugins/test-stream.ts'
import tls from '../plugins/tls.ts'
import usage from '../plugins/usage.ts'
import usageReports from '../plugins/usage-reports.ts'
import upsert from '../plugins/upsert.ts'
import users from '../plugins/users.ts'
import type { Bcrypt } from './auth/bcrypt.ts'
import type { Blobs } from './blobs/port.ts'
import type { Bus } from './bus/port.ts'
import { takeEmbedToken } from './auth/embed-path.ts'
import { canonicalUrl } from './canonical-url.ts'
import type { Clock } from './clock.ts'
import type { Config } from './config.ts'
import type { Ids } from './ids.ts'
import { RequestLogger } from './request-logger.ts'
import type { SecureEdge } from './secure-server.ts'
import type { OpenedStore } from './store/open.ts'

/** What buildApp is given besides the configuration: the outside world, which tests replace in part. */
export interface Parts {
  clock: Clock
  ids: Ids
  store: OpenedStore
  blobs: Blobs
  bus: Bus
  /** Signing secret of access tokens. */
  jwtSecret: string
  /** Base URL of Flowise, or of the demo that stands in for it. */
  flowiseUrl: string
  isDemo: boolean
  /** HTTPS with HTTP/2; absent: plain HTTP/1.1. */
  tls?: SecureEdge | undefined
  /** The slow half of passwords; absent: bcrypt in a thread of its own. */
  bcrypt?: Bcrypt
  logger: FastifyServerOptions['logger']
}

type Schemas = NonNullable<FastifyServerOptions['schemaController']>
type SerializerFactory = NonNullable<NonNullable<Schemas['compilersFactory']>['buildSerializer']>

/** Both are about receiving a request; a reply may take as long as it likes. */
const ARRIVAL = {
  requestTimeout: 300_000,
  headersTimeout: 20_000,
  connectionsCheckingInterval: 5_000,
  keepAliveTimeout: 72_000,
  requireHostHeader: false
}

/** The whole gateway, ready to listen or to inject; reads no environment and opens no port. */
export async function buildApp(config: Config, parts: Parts): Promise<FastifyInstance> {
  const { tls: secure } = parts
  const standing = defaultHeaders(secure !== undefined)
  const app = fastify({
    logger: parts.logger ?? false,
    ...(parts.logger ? { childLoggerFactory: requestLogger } : {}),
    // plugins/request-log.ts writes the one line per request; the label is the member of the problem body.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    trustProxy: trustedHops(config.trustProxy),
    bodyLimit: 1024 * 1024,
    requestTimeout: ARRIVAL.requestTimeout,
    keepAliveTimeout: ARRIVAL.keepAliveTimeout,
    http: ARRIVAL,
    schemaController: { compilersFactory: { buildSerializer: lazySerializers } },
    ...(secure ? { serverFactory: securely(secure) } : {}),
    genReqId: (request) => requestIdOf(request, parts.ids.uuid),
    rewriteUrl: (request) => canonicalUrl(takeEmbedToken(request)),
    // No hook runs for these two: the address cannot be read, or the bytes are no HTTP.
    frameworkErrors(error, request, reply) {
      const send = isOpenAiUrl(request.originalUrl) ? sendOpenAiError : sendProblem
      send(toAppError(error), request, reply.headers({ ...standing, 'x-request-id': request.id }))
    },
    clientErrorHandler: (error, socket) =>
      answerBrokenRequest(error, socket, { ...standing, 'x-request-id': parts.ids.uuid() }),
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 1024 },
    forceCloseConnections: 'idle',
    return503OnClosing: false
  }).withTypeProvider<TypeBoxTypeProvider>()

  // The order is the order of the hooks: it is the security model.
  await app.register(configuration, { config, parts })
  await app.register(problem)
  await app.register(requestContext)
  await app.register(metrics)
  await app.register(requestLog)
  await app.register(securityHeaders)
  await app.register(brokenRequest)
  await app.register(parsing)
  await app.register(lifecycle)
  await app.register(tls)
  await app.register(embedTokens)
  await app.register(cors)
  await app.register(openapi)
  await app.register(bus)
  await app.register(store)
  await app.register(blobs)
  await app.register(users)
  await app.register(auth)
  await app.register(audit)
  await app.register(rateLimit)
  await app.register(arrivals)
  await app.register(callLimits)
  await app.register(flowise)
  await app.register(accounting)
  await app.register(readiness)
  await app.register(chatflows)
  await app.register(permissions)
  await app.register(files)
  await app.register(passedFiles)
  await app.register(feedback)
  await app.register(history)
  await app.register(reach)
  await app.register(leads)
  await app.register(storedFiles)
  await app.register(usage)
  await app.register(credits)
  await app.register(apiKeys)
  await app.register(streams)
  await app.register(exchange)
  await app.register(attachments)
  await app.register(upsert)
  await app.register(usageReports)
  await app.register(administration)
  await app.register(prediction)
  await app.register(predictionStream)
  await app.register(answers)
  await app.register(followers)
  await app.register(flowiseAnswers)
  await app.register(speech)
  await app.register(flowiseSurface)
  await app.register(testStream)
  await app.register(guard)
  await app.register(openai)
  await app.register(autoload, {
    dir: join(import.meta.dirname, '../routes'),
    forceESM: true,
    ignorePattern: /\.d\.ts$/
  })
  return app
}

/** Fastify's own, each compiled when the first reply needs it: there are many hundreds, most of them for errors, which need none. */
const lazySerializers: SerializerFactory = (externalSchemas, options) => {
  const compile: ReturnType<SerializerFactory> = SerializerSelector()(externalSchemas, options)
  return (route) => {
    let serialize: ReturnType<typeof compile> | undefined
    return (data) => {
      serialize ??= compile(route)
      return serialize(data)
    }
  }
}

/** Fastify knows of a logger only what all have in common; ours is pino's. */
const requestLogger: NonNullable<FastifyServerOptions['childLoggerFactory']> = (logger, bindings, options) =>
  new RequestLogger(logger as Logger, bindings, options)

function securely(edge: SecureEdge): FastifyServerFactory {
  return (handler) => edge.createServer(handler, ARRIVAL)
}

function trustedHops(trust: Config['trustProxy']): false | string[] | ((address: string, hop: number) => boolean) {
  return typeof trust === 'number' ? (_address, hop) => hop < trust : trust
}
