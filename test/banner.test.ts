import t from 'tap'
import { banner } from '../src/banner.ts'

const facts = { url: 'http://localhost:8000', isProduction: false, isDemo: true, username: 'admin' }

t.test('a first start shows address, page, password and a line to copy', async (t) => {
  const text = banner({ ...facts, generatedPassword: 'p4ss', chatflowId: 'flow-1' })
  t.match(text, 'http://localhost:8000/docs')
  t.match(text, 'password: p4ss')
  t.match(text, 'DEMO')
  const command = text.split('\n').find((line) => line.includes('curl')) ?? ''
  t.match(command, '"username":"admin","password":"p4ss"')
  t.match(command, '"chatflow_id":"flow-1"')
  t.notMatch(command, 'jq')
})

t.test('a later start shows placeholders for what it does not know', async (t) => {
  const text = banner({ ...facts, isDemo: false })
  t.notMatch(text, 'DEMO')
  t.notMatch(text, 'Administrator')
  t.match(text, '<password>')
  t.match(text, '<chatflow id>')
})

t.test('production prints a new password and nothing else', async (t) => {
  t.equal(banner({ ...facts, isProduction: true }), '')
  const text = banner({ ...facts, isProduction: true, generatedPassword: 'p4ss' })
  t.match(text, 'password: p4ss')
  t.notMatch(text, 'curl')
})
