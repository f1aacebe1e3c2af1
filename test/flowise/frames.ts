import type { Frame } from '../../src/flowise/frame.ts'
import { createSseParser } from '../../src/flowise/sse.ts'
import { readCapture } from '../fixtures/flowise/read.ts'

/** The frames of a recorded stream. */
export function framesOf(capture: string): Frame[] {
  const frames: Frame[] = []
  const parser = createSseParser({ maxFrameBytes: 1_000_000, onFrame: (frame) => frames.push(frame) })
  parser.push(readCapture(capture).body)
  parser.end()
  return frames
}

/** The JSON body of a recorded answer. */
export function jsonOf(capture: string): unknown {
  return JSON.parse(readCapture(capture).body.toString())
}
