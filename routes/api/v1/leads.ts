import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { chatOwnerOf, identityOf } from '../../../src/auth/identity.ts'
import { flowiseErrors } from '../../../src/flowise/failure-form.ts'
import { nextUpstreamIds } from '../../../src/flowise/upstream-ids.ts'
import { FlowiseLead, flowiseLead, LeadBody } from '../../../src/leads/view.ts'

const PER_MINUTE = 10

/** Addresses that people leave in a chat, as clients made for Flowise send them. */
export default (async function leadRoutes(app) {
  app.setErrorHandler(app.sendFlowiseError)

  app.post(
    '/leads',
    {
      config: { access: 'user', scope: 'embed' },
      schema: {
        operationId: 'leads.create',
        summary: 'Leave name, e-mail address or telephone number in a chat',
        tags: ['flowise'],
        security: [{ bearer: [] }],
        body: LeadBody,
        response: { 200: FlowiseLead, ...flowiseErrors(400, 401, 403, 404, 413, 415, 422, 429, 503) }
      }
    },
    async function createLead(request) {
      const { chatflowid: chatflowId, chatId, name, email, phone } = request.body
      const owner = chatOwnerOf(identityOf(request))
      await app.limitCalls(request, 'leads', PER_MINUTE)
      await app.grantFor(request, chatflowId)
      const sessionId = chatId ? await app.sessionOfChat(owner, chatflowId, chatId) : null
      const place = sessionId === null ? undefined : { userId: owner.userId, chatflowId, sessionId }
      // The form comes before the first question, and both are of one chat at Flowise too.
      const fresh = nextUpstreamIds(null, app.ids.uuid)
      const upstream = place && (await app.history.prepare(place, fresh, app.clock.now()))
      const contact = { name: name?.trim() || null, email: email?.trim() || null, phone: phone?.trim() || null }
      const lead = await app.leads.add({ ...owner, chatflowId, sessionId, ...contact })
      app.passLeadOn(lead, upstream?.chatId)
      return flowiseLead(lead, chatId || lead.id)
    }
  )
} satisfies FastifyPluginAsyncTypebox)
