/** What a run has said so far, as far as it is remembered. */
export interface Told {
  readonly text: string
  /** The text goes on, but is not remembered any further. */
  readonly isTruncated: boolean
}

/** Of these the last says nothing about those before. */
const PIECES: readonly string[] = ['thinking', 'tts_data']
const TOKEN = 'token\n'
const ALL_TEXT = -1
const EVENT = '\nevent: '

/** What stands for the frames that have left a replay buffer. */
export interface Summary {
  /** Takes the place of a frame; `textLength` is that of the text after it, from `lengthOf`. */
  add(id: number, frame: string, textLength: number): void
  readonly keptBytes: number
  /** How much of the text it stands for; undefined if that is not remembered. */
  readonly textLength: number | undefined
  /** Frames with ids of those they stand for, in order; `text` is at least as long as it stands for. */
  frames(text: string): string
}

/** The text of a token's frame with this id. */
export type TokenFrame = (id: number, text: string) => string

/** The length to remember with a frame. */
export function lengthOf({ text, isTruncated }: Told): number {
  return isTruncated ? ALL_TEXT : text.length
}

/** All of the text in one token, and of the other events the last of each name, as far as they fit. */
export function createSummary(tokenFrame: TokenFrame, maxBytes: number): Summary {
  return new FrameSummary(tokenFrame, maxBytes)
}

/** A class, because each stream has one. */
class FrameSummary implements Summary {
  keptBytes = 0
  readonly #tokenFrame: TokenFrame
  readonly #maxBytes: number
  #kept: Map<string, { id: number; frame: string }> | undefined
  #tokenId = 0
  #length = 0

  constructor(tokenFrame: TokenFrame, maxBytes: number) {
    this.#tokenFrame = tokenFrame
    this.#maxBytes = maxBytes
  }

  get textLength(): number | undefined {
    return this.#length === ALL_TEXT ? undefined : this.#length
  }

  add(id: number, frame: string, textLength: number): void {
    this.#length = textLength
    const at = frame.indexOf(EVENT) + EVENT.length
    // Nearly all are tokens: nothing is cut out of them.
    if (frame.startsWith(TOKEN, at)) {
      this.#tokenId = id
      return
    }
    const name = frame.slice(at, frame.indexOf('\n', at))
    if (!PIECES.includes(name)) this.#keep(name, id, frame)
  }

  frames(text: string): string {
    const said = text.slice(0, this.#length)
    const token = said === '' ? [] : [{ id: this.#tokenId, frame: this.#tokenFrame(this.#tokenId, said) }]
    return [...(this.#kept?.values() ?? []), ...token]
      .toSorted((a, b) => a.id - b.id)
      .map(({ frame }) => frame)
      .join('')
  }

  #keep(name: string, id: number, frame: string): void {
    this.#kept ??= new Map()
    this.keptBytes += frame.length - (this.#kept.get(name)?.frame.length ?? 0)
    this.#kept.set(name, { id, frame })
    if (this.keptBytes <= this.#maxBytes) return
    this.keptBytes -= frame.length
    this.#kept.delete(name)
  }
}
