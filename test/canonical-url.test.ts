import t from 'tap'
import { canonicalUrl } from '../src/canonical-url.ts'

t.test('older forms get the prefix', async (t) => {
  for (const path of [
    '/chat/predict',
    '/chatflows',
    '/chatflows/',
    '/chatflows?limit=1',
    '/admin/users/x?a=/chat/b',
    '/chat'
  ])
    t.equal(canonicalUrl(path), `/api/v1${path}`)
  t.equal(canonicalUrl('http://gateway:8000/chat/credits?a=1'), '/api/v1/chat/credits?a=1')
})

t.test('every other address stays as it is', async (t) => {
  for (const url of [
    '/',
    '*',
    '',
    '/health',
    '/api/v1/chat/predict',
    '/api/chat/predict',
    '/chatters',
    '/chatflows-streaming/x',
    '/prediction/x',
    '/Chat/predict',
    '//chat/predict',
    '/x/chat/predict',
    'http://gateway/health',
    'http://gateway/api/v1/chat/credits'
  ])
    t.equal(canonicalUrl(url), url)
})
