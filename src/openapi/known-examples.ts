const chatflow = '0ec4a1f0-5b1e-4d58-9a57-3f0c8d1e2a01'
const user = '7b0c2f6e-3f0d-4c8e-9f61-2a4d8c1b5e90'
const session = 'b6f9d3a2-1c7e-4f52-8a0d-5e9c4b7f2d18'
const message = 'd41f8c57-9e2a-4b63-a7d0-6c8e5f1b3a94'
const file = '4e8a1d6b-7f3c-49b0-b2e5-8d0f6a3c9e71'
const token = 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI3YjBjMmY2ZSJ9.c2lnbmF0dXJl'

/** What members look like, by their name; a schema with an example of its own does not need a line here. */
export const knownExamples: Record<string, unknown> = {
  // Identifiers.
  id: user,
  user_id: user,
  user_ids: [user],
  actor: user,
  actor_id: user,
  assigned_by: user,
  user: 'alice',
  external_id: '64f0c0ffee0123456789abcd',
  chatflow_id: chatflow,
  chatflow_ids: [chatflow],
  chatflowId: chatflow,
  chatflowid: chatflow,
  flowise_id: chatflow,
  session_id: session,
  sessionId: session,
  chatId: session,
  chat_id: session,
  message_id: message,
  messageId: message,
  chatMessageId: message,
  feedback_id: 'h3vqz7m2k5x4wnd6tbcy2e7rfa',
  file_id: file,
  file_ids: [file],
  key_id: '3kq7w2mz5ahd',
  visitor_id: 'visitor-7b0c2f6e',
  request_id: '0b9e7a54-8c1d-4f36-9d2b-7e5a3c6f1048',
  transaction_id: 'YXBpOndlbGNvbWU',
  target: user,
  'idempotency-key': 'welcome-alice-1',
  idempotency_key: 'welcome-alice-1',
  cursor: 'WzE3Njk4NjA4MDAwMDAsImFiYyJd',
  next_cursor: 'WzE3Njk4NjA4MDAwMDAsImFiYyJd',

  // People and their tokens.
  username: 'alice',
  usernames: ['alice', 'bob'],
  email: 'alice@example.com',
  emails: ['alice@example.com', 'bob@example.com'],
  leadEmail: 'alice@example.com',
  q: 'ali',
  password: 'correct horse battery',
  role: 'user',
  access_token: token,
  refresh_token: 'p3yKq0c9m1V7xZt4b8RdF2sLw6Hn5JgQ',
  token_id: 'p3yKq0c9m1V7xZt4b8RdF2sLw6Hn5JgQ',
  expires_in: 86_400,
  revoked_count: 1,
  all_tokens: false,

  // Chatflows.
  name: 'Support',
  chatflow_name: 'Support',
  description: 'Answers questions about our products',
  category: 'support',
  type: 'CHATFLOW',
  sync_error: 'the name is missing',
  override_allow: ['vars'],
  response_fields: ['text', 'sourceDocuments'],
  stream_events: ['token', 'sourceDocuments'],

  // Conversations.
  question: 'What is in the report?',
  response: 'The report has three chapters.',
  result: { text: 'The report has three chapters.' },
  content: 'What is in the report?',
  topic: 'What is in the report?',
  overrideConfig: { vars: { language: 'en' } },
  uploads: [{ type: 'file', name: 'report.pdf', mime: 'application/pdf', data: 'JVBERi0xLjQK' }],
  mime: 'application/pdf',
  mimeType: 'application/pdf',
  fileName: 'chart.png',
  text: 'The report has three chapters.',
  phone: '+49 30 123456',
  stopNodeId: 'pinecone_0',
  url: `/api/v1/chat/files/${file}`,
  thumbnail_url: `/api/v1/chat/files/${file}/thumbnail`,
  message_count: 2,
  messages_deleted: 2,

  // Money.
  amount: 100,
  credits: 100,
  credits_remaining: 41,
  credits_held: 1,
  price: 1,
  per_1k_tokens: 0.5,
  floor: 0.1,
  ceiling: 5,
  note: 'welcome',

  // Administration.
  action: 'user.update',
  before: { role: 'user' },
  after: { role: 'premium' },
  code: 'user_not_found',
  message: 'Done.',
  details: 'The user does not exist.',
  suggested_action: 'Delete the assignment.',
  recommendations: ['All assignments are valid.'],
  error: 'could not be written',

  // Numbers of things.
  count: 1,
  size: 48_213
}
