import t from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { startGateway } from '../clients/gateway.ts'

const { echo } = DEMO_IDS

t.test('indexing documents is offered to logins and keys, and not to visitors of a page', async (t) => {
  const { url, user, apiKey, apiHost, publish, configure } = await startGateway(t)
  publish(echo, {
    uploads: {
      isImageUploadAllowed: true,
      imgUploadSizeAndTypes: [{ fileTypes: ['image/png'], maxUploadSize: 5 }],
      isRAGFileUploadAllowed: true,
      fileUploadSizeAndTypes: [{ fileTypes: ['*'], maxUploadSize: 5 }]
    }
  })
  const offered = async (host: string, bearer?: string) => {
    const init = bearer === undefined ? {} : { headers: { authorization: `Bearer ${bearer}` } }
    const config = Object(await (await fetch(`${host}/api/v1/public-chatbotConfig/${echo}`, init)).json())
    t.same(await (await fetch(`${host}/api/v1/chatflows-uploads/${echo}`, init)).json(), config.uploads)
    t.equal(config.uploads.isImageUploadAllowed, true)
    return config.uploads.isRAGFileUploadAllowed
  }
  t.equal(await offered(url, user.token), false, 'not before an administrator has opened it')
  await configure(echo, { upsert_price: 0 })
  t.equal(await offered(url, user.token), true)
  t.equal(await offered(url, apiKey), true)
  t.equal(await offered(await apiHost(echo)), false)
})
