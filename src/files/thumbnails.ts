import type sharp from 'sharp'
import { AppError } from '../errors.ts'

export interface Thumbnail {
  mime: 'image/png' | 'image/jpeg'
  bytes: Buffer
}

/**
 * Makes a thumbnail with its longest edge at most `size`, never larger than the image; `load` yields the image when its turn
 * has come. @throws not_an_image, overloaded
 */
export type MakeThumbnail = (load: () => Promise<Buffer>, size: number) => Promise<Thumbnail>

type Sharp = typeof sharp

/** Images decoded at once, each in a thread of libuv's pool, which others need too. */
const AT_ONCE = 2
const MAX_WAITING = 64
/** A photo of the largest cameras; what claims to be larger is refused before a pixel is decoded. */
const MAX_PIXELS = 256_000_000
const MAX_SECONDS = 10
const LOADERS = ['Jpeg', 'Png', 'Nsgif', 'Webp'].map((format) => `VipsForeignLoad${format}`)

/** Thumbnails by libvips, off the event loop; of animations, the first picture. */
export function createThumbnails(): MakeThumbnail {
  let library: Promise<Sharp> | undefined
  const waiting: (() => void)[] = []
  let free = AT_ONCE

  return async function makeThumbnail(load, size) {
    await enter()
    try {
      const image = await load()
      library ??= openLibrary()
      return await shrink(await library, image, size)
    } finally {
      leave()
    }
  }

  async function enter(): Promise<void> {
    if (free > 0) {
      free--
      return
    }
    if (waiting.length >= MAX_WAITING) throw new AppError('overloaded')
    await new Promise<void>((resolve) => void waiting.push(resolve))
  }

  function leave(): void {
    const next = waiting.shift()
    if (next) next()
    else free++
  }
}

/** Loaded when it is used: it takes as much memory as hundreds of streams. */
async function openLibrary(): Promise<Sharp> {
  const { default: opened } = await import('sharp')
  // The file is somebody's: no other decoder than those of the four types ever sees it.
  opened.block({ operation: ['VipsForeignLoad'] })
  opened.unblock({ operation: LOADERS })
  opened.cache(false)
  return opened
}

async function shrink(library: Sharp, image: Buffer, size: number): Promise<Thumbnail> {
  try {
    const { data, info } = await library(image, { limitInputPixels: MAX_PIXELS, failOn: 'error' })
      .timeout({ seconds: MAX_SECONDS })
      .autoOrient()
      .resize({ width: size, height: size, fit: 'inside', withoutEnlargement: true })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    const { width, height, channels } = info
    const small = library(data, { raw: { width, height, channels } })
    const { isOpaque } = await small.stats()
    return isOpaque
      ? { mime: 'image/jpeg', bytes: await small.removeAlpha().jpeg({ quality: 82 }).toBuffer() }
      : { mime: 'image/png', bytes: await small.png().toBuffer() }
  } catch (cause) {
    throw new AppError('not_an_image', { detail: 'This image cannot be decoded.' }, { cause })
  }
}
