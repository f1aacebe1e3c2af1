import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { Test } from 'tap'

/** A customer's web server: pages with the widget, on an origin that is not the gateway's. */
export interface Pages {
  readonly origin: string
  /** The address of a page with this body. */
  page(body: string): string
}

const WIDGET = new URL('../../node_modules/flowise-embed/dist/web.js', import.meta.url)

/** Serves pages and the widget's script at `/web.js`, until the test ends. */
export async function startPages(t: Test): Promise<Pages> {
  const pages = new Map<string, string>()
  const script = await readFile(WIDGET)
  const server = createServer(({ url = '/' }, response) => {
    const page = pages.get(url)
    if (page !== undefined) response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page)
    else if (url === '/web.js') response.writeHead(200, { 'content-type': 'text/javascript' }).end(script)
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
      const path = `/page-${pages.size + 1}`
      pages.set(path, `<!doctype html><html lang="en"><head><title>A customer's page</title></head>${body}</html>`)
      return origin + path
    }
  }
}
