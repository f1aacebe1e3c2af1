import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { createLeads, type Leads } from '../src/leads/leads.ts'
import { contactOf } from '../src/leads/view.ts'
import type { LeadRow } from '../src/store/surface-rows.ts'

declare module 'fastify' {
  interface FastifyInstance {
    leads: Leads
    /** Tells Flowise too, under its own id of the chat; nobody waits for it. */
    passLeadOn(lead: LeadRow, upstreamChatId: string | undefined): void
  }
}

/** Who left an address in a chat: kept here, and at Flowise for those who look there. */
export default fp(
  async function leads(app: FastifyInstance) {
    const { store, clock, ids, flowise, lifecycle } = app
    app.decorate('leads', createLeads({ store, clock, ids }))
    app.decorate('passLeadOn', function passLeadOn(lead, upstreamChatId) {
      const chat = upstreamChatId === undefined ? {} : { chatId: upstreamChatId }
      const passed = flowise.lead({ chatflowid: lead.chatflowId, ...chat, ...contactOf(lead) })
      void lifecycle.track(passed).catch(() => {})
    })
  },
  { name: 'leads', dependencies: ['store', 'flowise', 'lifecycle'] }
)
