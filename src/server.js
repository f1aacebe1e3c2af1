import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

// JavaScript, because it is read before there is a cache: for one file in TypeScript, Node would load its compiler and keep
// it in memory, 16 MB, as long as the gateway runs.

// What Node has made of the sources is kept beside the packages, where only their owner may write: the next start takes half
// as long. Where that cannot be written to, each start compiles anew.
enableCompileCache(join(import.meta.dirname, '../node_modules/.cache/compiled'))

// Not before: what is imported above is compiled before the line that says where to keep it.
const { serve } = await import('./serve.ts')
await serve()
