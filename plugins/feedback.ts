import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { createFeedback, type Feedback } from '../src/feedback/feedback.ts'

declare module 'fastify' {
  interface FastifyInstance {
    feedback: Feedback
    /** Tells Flowise too, as far as it knows the message; nobody waits for it. */
    passFeedbackOn(feedbackId: string): void
  }
}

/** What people say about answers: kept here, and at Flowise for those who look there. */
export default fp(
  async function feedback(app: FastifyInstance) {
    const { store, clock, flowise, lifecycle } = app
    const kept = createFeedback({ store, clock })
    const passing = new Map<string, Promise<void>>()
    app.decorate('feedback', kept)

    // One after the other: two at once would both find that Flowise has none yet.
    app.decorate('passFeedbackOn', function passFeedbackOn(feedbackId) {
      const before = passing.get(feedbackId) ?? Promise.resolve()
      const work: Promise<void> = before.then(() => pass(feedbackId))
      const done = lifecycle.track(work).catch(() => {})
      passing.set(feedbackId, done)
      void done.then(() => passing.get(feedbackId) === done && passing.delete(feedbackId))
    })

    async function pass(feedbackId: string): Promise<void> {
      const row = await kept.get(feedbackId)
      if (!row) return
      const { chatflowId, rating, upstreamId, upstreamMessageId: messageId } = row
      const said = { rating, content: row.content ?? '' }
      if (upstreamId !== undefined) await flowise.changeRating(upstreamId, said)
      else if (messageId !== undefined) {
        const given = await flowise.rate(chatflowId, { messageId, ...said })
        if (given !== undefined) await kept.passedOn(feedbackId, given)
      }
    }
  },
  { name: 'feedback', dependencies: ['store', 'flowise', 'lifecycle'] }
)
