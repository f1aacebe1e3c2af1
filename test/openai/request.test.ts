import t from 'tap'
import { readUploads } from '../../src/flowise/uploads.ts'
import { isSessionId, readCompletion, sessionNamed, sessionNameOf } from '../../src/openai/request.ts'
import type { ChatMessageBody, CompletionRequestBody } from '../../src/openai/schemas.ts'
import type { ChatflowRow, SessionRow } from '../../src/store/collections.ts'

const PIXEL = 'data:image/png;base64,iVBORw0KGgo='
const user = (content: NonNullable<ChatMessageBody['content']> | null): ChatMessageBody => ({ role: 'user', content })
const assistant = (content: string): ChatMessageBody => ({ role: 'assistant', content })
const system = (content: string): ChatMessageBody => ({ role: 'system', content })

/** The prediction that these messages come to. */
function read(
  messages: ChatMessageBody[],
  { settings = {}, sessionId }: { settings?: Partial<ChatflowRow>; sessionId?: string } = {},
  more: Partial<CompletionRequestBody> = {}
) {
  const chatflow = { id: 'flow', ...settings } as ChatflowRow
  const readFile = (data: string, name: string | undefined) => {
    const [file] = readUploads([{ data, ...(name === undefined ? {} : { name }) }])
    if (!file) throw new Error('no file')
    return file
  }
  return readCompletion({ model: 'm', messages, ...more }, { chatflow, sessionId, maxFiles: 2, readFile })
}

t.test('without a session the messages before the question are history', async (t) => {
  const asked = read([user('a'), assistant('b'), user('c'), assistant('d'), user('e'), user('f')])
  t.match(asked, { chatflowId: 'flow', question: 'e\n\nf', shown: 'e\n\nf', wantsStream: false, filesAs: 'uploads' })
  t.strictSame(asked.history, [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b' },
    { role: 'user', content: 'c' },
    { role: 'assistant', content: 'd' }
  ])
  t.equal(asked.sessionId, undefined)
  t.equal(read([user('a')]).history, undefined)
})

t.test('in a session only the question goes along', async (t) => {
  const asked = read([user('a'), assistant('b'), user('c')], { sessionId: 's' })
  t.match(asked, { question: 'c', sessionId: 's', history: undefined })
})

t.test('system messages are text before the question, wherever they stand', async (t) => {
  const messages = [
    system('Be brief.'),
    user('a'),
    assistant('b'),
    user('c'),
    { role: 'developer', content: 'In French.' }
  ]
  const asked = read(messages)
  t.match(asked, { question: 'Be brief.\n\nIn French.\n\nc', shown: 'c', overrideConfig: undefined })
  t.equal(asked.history?.length, 2)
})

t.test('an administrator decides otherwise', async (t) => {
  const messages = [system('Be brief.'), user('a')]
  t.match(read(messages, { settings: { systemMessages: 'ignore' } }), { question: 'a', overrideConfig: undefined })
  t.throws(() => read(messages, { settings: { systemMessages: 'refuse' } }), { code: 'validation_error' })
  t.match(read([system(' '), user('a')], { settings: { systemMessages: 'refuse' } }), { question: 'a' })
  t.match(read(messages, { settings: { overrideAllow: ['vars', 'systemMessage'] } }), {
    question: 'a',
    overrideConfig: { systemMessage: 'Be brief.' }
  })
  const both = { systemMessages: 'ignore', overrideAllow: ['systemMessage'] } as const
  t.match(read(messages, { settings: { ...both, overrideAllow: [...both.overrideAllow] } }), {
    overrideConfig: undefined
  })
})

t.test('parts are text, images and files; those of earlier messages are named', async (t) => {
  const image = { type: 'image_url', image_url: { url: PIXEL, detail: 'low' } }
  const asked = read([
    user([{ type: 'text', text: 'look' }, image]),
    { role: 'assistant', content: [{ type: 'refusal', refusal: 'no' }] },
    user([
      { type: 'text', text: 'and' },
      image,
      { type: 'text', text: 'this' },
      { type: 'file', file: { file_id: 'f' } }
    ])
  ])
  t.equal(asked.question, 'and\nthis')
  t.strictSame(asked.history, [
    { role: 'user', content: 'look\n[image]' },
    { role: 'assistant', content: 'no' }
  ])
  t.match(asked.files, [{ claims: ['image/png'] }])
  t.equal(asked.files.length, 1)
  t.strictSame(asked.fileIds, ['f'])
  const named = read([
    user([
      { type: 'text', text: 'a' },
      { type: 'file', file: { file_data: PIXEL, filename: 'a.png' } }
    ])
  ])
  t.match(named.files, [{ name: 'a.png' }])
  t.throws(() => read([user([{ type: 'text', text: 'a' }, image, image, image])]), { message: /at most 2/ })
})

t.test('what cannot be said to a chatflow is refused', async (t) => {
  const wrong: ChatMessageBody[][] = [
    [],
    [system('a')],
    [user('a'), assistant('b')],
    [user(' ')],
    [user('a\u0000')],
    [user(null)],
    [{ role: 'function', content: 'a' }, user('a')],
    [{ role: '__proto__', content: 'a' }, user('a')],
    [user([{ type: 'constructor' }])],
    [{ role: 'system', content: [{ type: 'image_url', image_url: PIXEL }] }, user('a')],
    [
      user([
        { type: 'file', file: {} },
        { type: 'text', text: 'a' }
      ])
    ],
    [user([{ type: 'image_url', image_url: { url: 7 } }])],
    [user('a'.repeat(100_001))],
    [user('a'.repeat(200_001)), assistant('b'), user('c')]
  ]
  for (const messages of wrong)
    t.throws(() => read(messages), { code: 'validation_error' }, JSON.stringify(messages).slice(0, 60))
})

t.test('parameters that only tune are ignored, as are those that ask for nothing', async (t) => {
  const harmless = {
    n: 1,
    tools: [],
    functions: null,
    logprobs: false,
    response_format: { type: 'text' },
    modalities: ['text']
  }
  t.match(read([user('a')], {}, harmless), { question: 'a' })
  t.throws(() => read([user('a')], {}, { response_format: { type: 'json_object' } }), { code: 'validation_error' })
})

t.test('a name means the session of that id, else one of the caller and the chatflow', async (t) => {
  const owner = { userId: 'u', visitorId: null, chatflowId: 'f' }
  const row = { id: 's', userId: 'u', chatflowId: 'f' } as SessionRow
  t.equal(sessionNamed('s', owner, row), 's')
  const own = sessionNamed('s', owner, undefined)
  t.match(own, /^o-[a-z2-7]{26}$/)
  t.equal(sessionNamed('s', owner, { ...row, userId: 'other' }), own, "somebody else's is as if there were none")
  t.equal(sessionNamed('s', owner, { ...row, chatflowId: 'other' }), own, 'as is that of another model')
  const others = [
    { ...owner, userId: 'v' },
    { ...owner, chatflowId: 'g' },
    { ...owner, visitorId: 'w' }
  ]
  for (const other of others) t.not(sessionNamed('s', other, undefined), own)
  t.ok(isSessionId('s', owner))
  t.notOk(isSessionId('s', { ...owner, visitorId: 'w' }), 'visitors have no ids of their own')
  t.notOk(isSessionId('ä b', owner))
})

t.test('header and member say the same', async (t) => {
  const body = (session_id?: string | null): CompletionRequestBody => ({
    model: 'm',
    messages: [],
    ...(session_id === undefined ? {} : { metadata: { session_id } })
  })
  t.equal(sessionNameOf(body(), undefined), undefined)
  t.equal(sessionNameOf(body(null), ''), undefined)
  t.equal(sessionNameOf(body('a'), undefined), 'a')
  t.equal(sessionNameOf(body(), 'a'), 'a')
  t.equal(sessionNameOf(body('a'), 'a'), 'a')
  t.throws(() => sessionNameOf(body('a'), 'b'), { code: 'validation_error' })
})
