import type { Test } from 'tap'
import { DEMO_IDS } from '../../src/flowise/demo-flows.ts'
import { withChromium } from './browser.ts'
import { type ClientGateway, type ClientGatewayOptions, type EmbedOptions, startGateway } from './gateway.ts'
import { type Pages, startPages } from './pages.ts'
import { openWidget, type Widget, type WidgetOptions } from './widget.ts'

/** The one client of these tests. */
export const EMBED = 'flowise-embed'

export interface ShopOptions extends ClientGatewayOptions {
  /** The chatflow on the shop's page; default: the echo. */
  chatflowId?: string
}

export interface Visit
  extends Partial<Pick<WidgetOptions, 'address' | 'apiHost' | 'form' | 'chatWindow' | 'chatflowConfig'>> {
  token?: EmbedOptions
}

/** A shop whose page has the widget: a gateway of its own, and visitors with browsers of their own. */
export interface Shop extends ClientGateway {
  /** Opens the page as one more visitor, with a fresh embed token. */
  visit(options?: Visit): Promise<Widget>
  /** The shop's web server; all shops of a test have the same. */
  pages: Pages
}

export type OpenShop = (t: Test, options?: ShopOptions) => Promise<Shop>

/** Registers a subtest in which shops can be opened, all of them seen with one Chromium. */
export function withShops(t: Test, title: string, run: (t: Test, open: OpenShop) => Promise<void>): Promise<unknown> {
  return withChromium(t, title, async (t, browser) => {
    const pages = await startPages(t)
    await run(t, async (t, { chatflowId = DEMO_IDS.echo, ...options } = {}) => {
      const gateway = await startGateway(t, options)
      return {
        ...gateway,
        pages,
        async visit({ token, ...widget } = {}) {
          const apiHost = widget.apiHost ?? (await gateway.apiHost(chatflowId, token))
          return openWidget(t, { browser, pages, chatflowId, ...widget, apiHost })
        }
      }
    })
  })
}
