import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { chatOwnerOf, identityOf } from '../../../src/auth/identity.ts'
import { AppError } from '../../../src/errors.ts'
import { FeedbackBody, FeedbackChange, FlowiseFeedback, flowiseFeedback } from '../../../src/feedback/view.ts'
import { flowiseErrors } from '../../../src/flowise/failure-form.ts'
import { Id, Members, Type } from '../../../src/schema.ts'

const PER_MINUTE = 60
const config = { access: 'user', scope: 'embed' } as const
const common = { tags: ['flowise'], security: [{ bearer: [] }] }

/** What people say about answers, as clients made for Flowise say it. */
export default (async function feedbackRoutes(app) {
  app.setErrorHandler(app.sendFlowiseError)

  app.post(
    '/feedback/:chatflow_id',
    {
      config,
      schema: {
        ...common,
        operationId: 'feedback.rate',
        summary: 'Rate an answer of a chat of yours; a second time replaces the first',
        params: Type.Object({ chatflow_id: Id }),
        body: FeedbackBody,
        response: { 200: FlowiseFeedback, ...flowiseErrors(400, 401, 403, 404, 413, 415, 422, 429, 503) }
      }
    },
    async function rate(request) {
      const { chatflow_id: chatflowId } = request.params
      const { chatId, messageId, rating, content } = request.body
      const owner = chatOwnerOf(identityOf(request))
      await app.limitCalls(request, 'feedback', PER_MINUTE)
      await app.grantFor(request, chatflowId)
      const answer = await app.history.answerOf(owner.userId, messageId)
      // Without a chat nothing tells the visitors of one user apart.
      const named = chatId ? await app.sessionOfChat(owner, chatflowId, chatId) : undefined
      const isTheirs = named === undefined ? owner.visitorId === null : answer?.sessionId === named
      if (answer?.chatflowId !== chatflowId || !isTheirs) throw new AppError('message_not_found')
      const { visitorId } = owner
      const row = await app.feedback.rate(answer, { visitorId, rating, content: content || null })
      app.passFeedbackOn(row.id)
      return flowiseFeedback(row, chatId || answer.sessionId)
    }
  )

  app.put(
    '/feedback/:feedback_id',
    {
      config,
      schema: {
        ...common,
        operationId: 'feedback.change',
        summary: 'Change what you said about an answer',
        params: Type.Object({ feedback_id: Id }),
        body: FeedbackChange,
        response: {
          200: Members({ status: Type.Literal('OK') }),
          ...flowiseErrors(400, 401, 403, 404, 413, 415, 422, 429, 503)
        }
      }
    },
    async function change(request) {
      const { rating, content } = request.body
      const author = chatOwnerOf(identityOf(request))
      await app.limitCalls(request, 'feedback', PER_MINUTE)
      const { id, chatflowId } = await app.feedback.owned(author, request.params.feedback_id)
      await app.grantFor(request, chatflowId)
      await app.feedback.change(author, id, {
        ...(rating === undefined ? {} : { rating }),
        ...(content === undefined ? {} : { content: content || null })
      })
      app.passFeedbackOn(id)
      return { status: 'OK' as const }
    }
  )
} satisfies FastifyPluginAsyncTypebox)
