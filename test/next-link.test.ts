import t from 'tap'
import { nextLink } from '../src/next-link.ts'

t.test('the next page is the same request with another cursor', async (t) => {
  t.equal(nextLink('/chatflows', 'abc'), '</chatflows?cursor=abc>; rel="next"')
  t.equal(nextLink('/chatflows?cursor=abc&limit=2', 'd-_f'), '</chatflows?cursor=d-_f&limit=2>; rel="next"')
})

t.test('nothing in an address can end the link', async (t) => {
  t.equal(nextLink('/a>"b?x=>;y', 'c'), '</a%3E%22b?x=%3E%3By&cursor=c>; rel="next"')
})
