import type { Test } from 'tap'

/** The clients of docs/clients.md, as npm names them. */
export const CLIENTS = ['flowise-sdk', 'flowise-embed', 'openai'] as const

export type Client = (typeof CLIENTS)[number]

/** What the page says, and the title of the test that proves it where that is not made of the row. */
type Cell = string | { says: string; test: string }

export type Row = { does: string } & Partial<Record<Client, Cell>>

/** A proof that waits for ever must not take the others' time. */
const PROOF_MS = 60_000

/** It works, and there is no more to say. */
const yes = 'yes'
const openai = (test: string, says: string = yes) => ({ openai: { says, test } })
/** The same on both of Flowise's clients. */
const flowise = (says: string = yes) => ({ 'flowise-sdk': says, 'flowise-embed': says })
const embed = { 'flowise-embed': yes }

/**
 * What the clients do against the gateway, in the order of docs/clients.md. Words in a cell are what the user reads, and
 * the test looks for them. A client without a cell has no such thing.
 */
export const BEHAVIOURS = {
  models: { does: 'chatflows are listed', ...openai('the models are the chatflows that one may use, by id or alias') },
  answers: { does: 'a question is answered in one piece', ...flowise(), ...openai('an answer in one piece') },
  streams: {
    does: 'an answer is streamed, token by token',
    ...flowise(),
    ...openai('an answer as it comes, unicode and all')
  },
  unstreamable: {
    does: 'a flow that cannot stream answers all the same',
    ...flowise(),
    ...openai('a flow that cannot stream answers a stream in one chunk')
  },
  unicode: {
    does: 'every script and every sign arrives as it was sent',
    ...flowise(),
    ...openai('an answer as it comes, unicode and all')
  },
  agents: { does: 'an agentflow streams, with its progress', ...flowise(), openai: 'yes, its text' },
  markdown: { does: 'Markdown is shown as such', ...embed },
  bubble: { does: 'the bubble in the corner of a page does what the full page does', ...embed },
  example: { does: 'the page of the examples works', ...embed },
  turns: { does: 'several turns are one conversation', ...flowise(), openai: 'with X-Session-Id' },
  reload: { does: 'the conversation goes on after a reload of the page', ...embed },
  strangers: { does: 'two visitors never see each other', ...embed },
  elsewhere: { does: 'a page of another origin than the token names gets nothing', ...embed },
  customers: { does: "a customer's own id in front of the chat's is kept", ...embed },
  images: { does: 'an image goes with a question', ...flowise(), ...openai('an image goes with the question') },
  documents: { does: 'a document goes with a question, as its text', ...embed },
  indexing: { does: 'documents for a vector store are not offered to visitors', ...embed },
  speech: { does: 'an answer is read aloud', 'flowise-embed': 'its sound arrives' },
  starters: { does: 'starter prompts are offered and sent', ...embed },
  rating: { does: 'an answer is rated, with a comment', ...embed },
  leads: { does: 'visitors leave their address before they chat', ...embed },
  human: { does: 'a flow that waits for a decision gets it, with a comment', ...embed },
  form: { does: 'a flow that starts with a form gets it', ...embed },
  usage: { does: 'tokens are told', ...openai('usage as the flow reports it, in one piece and as the last chunk') },
  stop: { does: 'Stop ends an agentflow, and the next question is answered', ...embed },
  left: {
    does: 'leaving the answer ends the run',
    'flowise-sdk': 'at the idle limit',
    ...openai('a client that leaves stops the run, and what it got is settled')
  },
  broke: {
    does: 'no credits',
    ...flowise('There are no credits left for this chat.'),
    ...openai('no credits is told once, and says what is missing', '402, told once')
  },
  foreign: {
    does: 'a key or token that is not valid',
    ...flowise('Your access to this chat is not valid. Please reload the page or sign in again.'),
    ...openai('a wrong key is told once', '401, told once')
  },
  revoked: {
    does: 'a key that has been revoked, or a token made with it',
    ...flowise('Your access to this chat has ended. Please reload the page or sign in again.'),
    openai: '401'
  },
  expired: {
    does: 'an embed token that has expired',
    'flowise-embed': 'This chat has expired. Please reload the page.'
  },
  forbidden: {
    does: 'a key or token for another chatflow',
    ...flowise('You have no access to this chat.'),
    openai: '403'
  },
  unknown: { does: 'an unknown chatflow', 'flowise-sdk': 'This chat does not exist any more.', openai: '404' },
  limited: {
    does: 'too many questions in a minute',
    ...flowise('That was a lot of messages in a short time. Please wait a minute.'),
    ...openai('too many questions in a minute are told with the time to wait', '429, with the time to wait')
  },
  down: {
    does: 'Flowise is down',
    ...flowise('The assistant cannot be reached right now. Please try again in a moment.'),
    ...openai('Flowise away is repeated, because nothing has been done', '503, asked again by the client')
  },
  failed: {
    does: 'the model fails in the middle',
    ...flowise('The assistant could not answer. Please try again in a moment.'),
    ...openai('a failure in the middle of a stream is an error, not a short answer', 'an error, not a short answer')
  },
  discreet: { does: "no prompt, key or owner's name is on the wire", ...flowise(), openai: yes }
} as const satisfies Record<string, Row>

export type Behaviour = keyof typeof BEHAVIOURS

/** What the page says of a client, and the title of its proof; undefined if it says nothing. */
export function cellOf(client: Client, behaviour: Behaviour): { says: string; test: string } | undefined {
  const row: Row = BEHAVIOURS[behaviour]
  const cell = row[client]
  return typeof cell === 'string' ? { says: cell, test: `${client}: ${row.does}` } : cell
}

/** Registers the test that proves a cell of docs/clients.md; `run` is given the words of the cell. */
export function proves(
  t: Test,
  client: Client,
  behaviour: Behaviour,
  run: (t: Test, says: string) => Promise<void>
): Promise<unknown> {
  const cell = cellOf(client, behaviour)
  if (cell === undefined) throw new Error(`docs/clients.md has no cell ${client}, ${behaviour}`)
  return t.test(cell.test, { timeout: PROOF_MS }, (t) => run(t, cell.says))
}
