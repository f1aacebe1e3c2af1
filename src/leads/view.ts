import { isoInstant } from '../clock.ts'
import { csvTable } from '../csv.ts'
import { Email, Id, Instant, Members, Nullable, PageReply, type Static, Type } from '../schema.ts'
import type { LeadRow } from '../store/surface-rows.ts'

const COLUMNS = ['id', 'created_at', 'name', 'email', 'phone', 'user_id', 'visitor_id', 'session_id'] as const
const given = <T extends Parameters<typeof Nullable>[0]>(schema: T) => Type.Optional(Nullable(schema))
/** What a form sends for a field that it does not show. */
const Blank = Type.Literal('')

/** What Flowise's clients send from a lead form. */
export const LeadBody = Members(
  {
    chatflowid: Id,
    chatId: given(Type.String({ maxLength: 512, description: "the client's name of the session" })),
    name: given(Type.String({ maxLength: 200 })),
    email: given(Type.Union([Blank, Email], { description: 'an e-mail address' })),
    phone: given(Type.String({ maxLength: 50 }))
  },
  { examples: [{ chatflowid: '0ec4a1f0-5b1e-4d58-9a57-3f0c8d1e2a01', name: 'Ada', email: 'ada@example.com' }] }
)

/** A lead as Flowise shows it: what was not given is absent. */
export const FlowiseLead = Members({
  name: Type.Optional(Type.String()),
  email: Type.Optional(Type.String()),
  phone: Type.Optional(Type.String()),
  chatflowid: Id,
  chatId: Type.String({ description: "the client's, as it came" }),
  id: Id,
  createdDate: Instant
})

/** A lead as administrators see it. */
export const LeadView = Members({
  id: Id,
  created_at: Instant,
  name: Nullable(Type.String()),
  email: Nullable(Type.String()),
  phone: Nullable(Type.String()),
  user_id: Id,
  visitor_id: Nullable(Type.String()),
  session_id: Nullable(Type.String())
})

export const LeadPage = Type.Object({ leads: Type.Array(LeadView), ...PageReply })

/** The reply to a client made for Flowise. */
export function flowiseLead(row: LeadRow, chatId: string): Static<typeof FlowiseLead> {
  const { id, name, email, phone, chatflowId: chatflowid, createdAt } = row
  return { ...contactOf({ name, email, phone }), chatflowid, chatId, id, createdDate: isoInstant(createdAt) }
}

/** The members of a lead that were given. */
export function contactOf({ name, email, phone }: Pick<LeadRow, 'name' | 'email' | 'phone'>) {
  return {
    ...(name === null ? {} : { name }),
    ...(email === null ? {} : { email }),
    ...(phone === null ? {} : { phone })
  }
}

/** The API form of a lead. */
export function leadView(row: LeadRow): Static<typeof LeadView> {
  return {
    id: row.id,
    created_at: isoInstant(row.createdAt),
    name: row.name,
    email: row.email,
    phone: row.phone,
    user_id: row.userId,
    visitor_id: row.visitorId,
    session_id: row.sessionId
  }
}

/** The rows as CSV, header first. */
export function leadsCsv(rows: AsyncIterable<LeadRow>): AsyncGenerator<string> {
  return csvTable(COLUMNS, rows, leadView)
}
