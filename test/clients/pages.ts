import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { Test } from 'tap'

/** A customer's web server: pages with the widget, on an origin that is not the gateway's. */
export interface Pages {
  readonly origin: string
  /** The address of a page with this body. */
  page(body: string): string
  /** Answers a path with this, from now on. */
  serve(path: string, type: string, content: string): void
}

const WIDGET = new URL('../../node_modules/flowise-embed/dist/web.js', import.meta.url)

/** Serves pages and the widget's script at `/web.js`, until the test ends. */
export async function startPages(t: Test): Promise<Pages> {
  const served = new Map([['/web.js', { type: 'text/javascript', content: await readFile(WIDGET, 'utf8') }]])
  const server = createServer(({ url = '/' }, response) => {
    const found = served.get(url)
    if (found) response.writeHead(200, { 'content-type': `${found.type}; charset=utf-8` }).end(found.content)
    else response.writeHead(url === '/favicon.ico' ? 204 : 404).end()
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    const closed = new Promise<void>((resolve) => void server.close(() => resolve()))
    server.closeAllConnections()
    await closed
  })
  const address = server.address()
  const origin = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
  return {
    origin,
    page(body) {
      const path = `/page-${served.size}`
      const content = `<!doctype html><html lang="en"><head><title>A customer's page</title></head>${body}</html>`
      served.set(path, { type: 'text/html', content })
      return origin + path
    },
    serve: (path, type, content) => void served.set(path, { type, content })
  }
}
