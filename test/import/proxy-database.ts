import { hash } from 'bcryptjs'
import { type Db, type Document, GridFSBucket, Long, MongoClient, ObjectId } from 'mongodb'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { PASSWORD } from '../helper.ts'

/** Ids at the auth service of the proxy. */
export const EXTERNAL = {
  ada: '650000000000000000000001',
  grace: '650000000000000000000002',
  twin: '650000000000000000000003',
  root: '650000000000000000000004',
  disabled: '650000000000000000000005',
  broken: '650000000000000000000006'
} as const
/** Messages of the conversation that is read and written in several parts. */
export const LONG_CONVERSATION = 250
export const PICTURE = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64')

const at = (minute: number) => new Date(Date.UTC(2025, 5, 1, 10, minute))
const tokens = (...data: string[]) => JSON.stringify(data.map((one) => ({ event: 'token', data: one })))
/** Documents of a kind are numbered in their ids. */
const oid = (kind: string, n: number) => new ObjectId(`66${kind}${n.toString(16).padStart(20, '0')}`)

export const userDocument = (n: number) => oid('aa', n)
export const fileId = (n: number) => oid('ff', n).toHexString()

/** Runs with the database of this name. */
export async function withDatabase<T>(url: string, name: string, use: (db: Db) => Promise<T>): Promise<T> {
  const client = new MongoClient(url)
  try {
    return await use(client.db(name))
  } finally {
    await client.close()
  }
}

/** Makes what a proxy leaves behind after a few years, all that is odd about it included. */
export async function fillProxy(db: Db): Promise<void> {
  const put = (name: string, documents: Document[]) => db.collection(name).insertMany(documents)
  const bcrypt = await hash(PASSWORD, 4)
  await put('users', users(bcrypt))
  await put('Chatflow', chatflows)
  await put('chatflows', [{ flowise_id: DEMO_IDS.echo, name: 'An old name', synced_at: at(0) }, { name: 'None' }])
  await put('UserChatflow', assignments)
  await put('user_chatflows', [
    { user_id: userDocument(3).toHexString(), chatflow_id: DEMO_IDS.echo, is_active: true, assigned_at: at(3) },
    { user_id: EXTERNAL.ada, chatflow_id: DEMO_IDS.echo, is_active: false, assigned_at: at(4) }
  ])
  await put('chat_sessions', sessions)
  await put('chat_messages', messages())
  await put('refresh_tokens', [{ token_id: 'secret', user_id: EXTERNAL.ada }])
  await put('file_uploads', uploads)
  await putFiles(db)
}

function users(bcrypt: string): Document[] {
  const base = { is_active: true, created_at: at(1), updated_at: at(2) }
  const of = (n: number, members: Document) => ({ _id: userDocument(n), ...base, ...members })
  const grace = { username: 'grace', email: 'grace@example.com', role: 'EndUser' }
  return [
    of(1, { username: 'ada-old', external_id: EXTERNAL.ada, role: 'ADMIN', credits: 7, updated_at: at(9) }),
    of(2, {
      username: 'ada',
      email: ' Ada@Example.com',
      external_id: EXTERNAL.ada,
      role: 'Supervisor',
      password_hash: bcrypt,
      credits: 41
    }),
    of(3, { ...grace, external_id: EXTERNAL.grace, credits: 2.5, updated_at: at(5) }),
    // Another person, who says that the same address is theirs.
    of(4, { ...grace, username: 'twin', external_id: EXTERNAL.twin, credits: 0 }),
    of(5, { username: 'ADA', email: 'root@example.com', external_id: EXTERNAL.root, role: 'Admin' }),
    of(6, {
      username: 'disabled',
      email: 'disabled@example.com',
      external_id: EXTERNAL.disabled,
      is_active: false,
      password_hash: bcrypt.replace('$2b$', '$2y$')
    }),
    of(7, {
      username: 'a',
      email: 'no address',
      external_id: EXTERNAL.broken,
      role: 5,
      credits: Long.fromNumber(-3),
      password_hash: 'in the clear',
      is_active: null,
      created_at: 'yesterday'
    }),
    of(8, { username: 'local', password_hash: bcrypt.replace('$2b$', '$2a$'), external_id: null, credits: 1.25 }),
    { _id: 9, username: 'numbered' },
    // Whoever is named by this id may be either of two people.
    { ...of(0, { username: 'crossed', external_id: '650000000000000000000007' }), _id: new ObjectId(EXTERNAL.disabled) }
  ]
}

const chatflows = [
  {
    _id: oid('cc', 1),
    flowise_id: DEMO_IDS.echo,
    name: 'Echo',
    type: 'CHATFLOW',
    deployed: true,
    flow_data: '{"secret":1}',
    sync_status: 'active',
    synced_at: at(5)
  },
  { _id: oid('cc', 2), flowise_id: 'gone-flow', name: 'Gone', sync_status: 'deleted', synced_at: at(5) }
]

const assigned = { chatflow_id: oid('cc', 1).toHexString(), is_active: true, assigned_at: at(6) }
const assignments = [
  { ...assigned, external_user_id: EXTERNAL.ada, is_active: false },
  { ...assigned, external_user_id: EXTERNAL.ada, assigned_by: EXTERNAL.root },
  { ...assigned, external_user_id: EXTERNAL.twin, is_active: false },
  { ...assigned, external_user_id: EXTERNAL.disabled },
  { ...assigned, external_user_id: 'nobody', user_email: 'ada@example.com' },
  { ...assigned, external_user_id: EXTERNAL.broken, chatflow_id: 'unknown' }
]

const sessions = [
  { session_id: 'first', user_id: EXTERNAL.ada, chatflow_id: assigned.chatflow_id, topic: 'Hello', created_at: at(10) },
  { session_id: 'first', user_id: EXTERNAL.twin, chatflow_id: assigned.chatflow_id, created_at: at(11) },
  { session_id: 'empty', user_id: EXTERNAL.ada, chatflow_id: DEMO_IDS.echo, created_at: at(12) },
  { session_id: 'closed', user_id: EXTERNAL.ada, chatflow_id: DEMO_IDS.echo, is_active: false, created_at: at(12) },
  { session_id: 17, user_id: EXTERNAL.ada }
]

function messages(): Document[] {
  let n = 0
  const of = (session: string, minute: number, members: Document) => ({
    _id: oid('dd', ++n),
    session_id: session,
    user_id: EXTERNAL.ada,
    chatflow_id: DEMO_IDS.echo,
    created_at: at(minute),
    role: 'user',
    ...members
  })
  const answer = { role: 'assistant' }
  return [
    of('first', 21, { ...answer, content: '[1,2]' }),
    of('first', 20, {
      ...answer,
      content: tokens('Grüß', ' dich, ', '🙂'),
      metadata: { chatId: 'hidden', sourceDocuments: [{ page: 1 }], agentFlowExecutedData: [{ prompt: 'hidden' }] }
    }),
    of('first', 19, { content: 'Hello?', file_ids: [fileId(1), fileId(3), 'url_1', fileId(9)] }),
    of('first', 22, { content: 'A stranger asks', user_id: EXTERNAL.twin }),
    of('first', 23, { ...answer, content: tokens('A stranger is told'), user_id: EXTERNAL.twin }),
    of('first', 24, { content: '[{"event":"token","data":"as I typed it"}]' }),
    of('first', 25, { ...answer, content: '[{"event":"error","data":"failed"}]' }),
    of('first', 26, { role: 'system', content: 'You are' }),
    of('first', 27, { content: 5 }),
    of('closed', 28, { content: 'Forgotten' }),
    of('by:client', 30, { content: `${'Q'.repeat(60)}?`, user_id: userDocument(3), created_at: '2025-06-01T10:30:00' }),
    of('by:client', 31, { ...answer, content: tokens('Built'), user_id: EXTERNAL.grace }),
    of('of nobody', 32, { content: 'Who?', user_id: 'nobody' }),
    { ...of('none', 32, { content: 'Where?' }), session_id: null },
    ...Array.from({ length: LONG_CONVERSATION }, (_, index) => of('long', 40, { content: `turn ${index}` }))
  ]
}

const upload = { user_id: EXTERNAL.ada, session_id: 'first', mime_type: 'image/gif', original_name: '../dot.gif' }
const uploads = [
  { ...upload, file_id: fileId(1) },
  { ...upload, file_id: fileId(1), message_id: 'temp_user_message' },
  { ...upload, file_id: fileId(2), message_id: 'temp_user_message' },
  { ...upload, file_id: 'url_1' },
  { ...upload, file_id: fileId(3), user_id: EXTERNAL.twin },
  { ...upload, file_id: fileId(4), mime_type: 'text/html', original_name: 'page.html' },
  { ...upload, file_id: fileId(5), mime_type: 'application/zip' },
  { ...upload, file_id: fileId(6) },
  { ...upload, file_id: fileId(9) }
]

async function putFiles(db: Db): Promise<void> {
  const bucket = new GridFSBucket(db)
  const files: [n: number, owner: string, bytes: Buffer][] = [
    [1, EXTERNAL.ada, PICTURE],
    [2, EXTERNAL.ada, PICTURE],
    [3, EXTERNAL.twin, PICTURE],
    [4, EXTERNAL.ada, Buffer.from('<b>bold</b>')],
    [5, EXTERNAL.ada, Buffer.from('PK\u0003\u0004zip')],
    [6, EXTERNAL.ada, Buffer.alloc(600_000, 'x')]
  ]
  for (const [n, owner, bytes] of files) {
    const metadata = { user_id: owner }
    const stream = bucket.openUploadStreamWithId(new ObjectId(fileId(n)), `file-${n}`, { metadata })
    await new Promise<void>((resolve, reject) => {
      stream.once('error', reject)
      stream.end(bytes, resolve)
    })
  }
  await db.collection('fs.chunks').deleteOne({ files_id: new ObjectId(fileId(6)), n: 1 })
}
