import { serve } from '../rpc.ts'
import { paced } from './paced.ts'
import { saturate } from './saturate.ts'
import { createStreamLoad, type StreamLoad } from './streams.ts'

/** What the load process does when it is asked. */
export interface Generator extends StreamLoad {
  saturate: typeof saturate
  paced: typeof paced
}

// The probe lets a process end that has nothing to do; waiting for work is what this one is for.
process.channel?.ref()
serve<Generator>({ ...createStreamLoad(), saturate, paced })
