import sharp from 'sharp'
import t from 'tap'
import { createThumbnails } from '../../src/files/thumbnails.ts'
import { animation, picture } from './samples.ts'

const make = createThumbnails()
/** Type and size of the thumbnail, or the code of the refusal. */
async function shrunk(image: Buffer, size = 200) {
  try {
    const { mime, bytes } = await make(async () => image, size)
    const { format, width, height, space, orientation } = await sharp(bytes).metadata()
    t.equal(mime, `image/${format}`)
    t.equal(space, 'srgb')
    t.equal(orientation, undefined)
    return [format, width, height]
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error
  }
}

t.test('the longest edge is at most the size, and nothing is enlarged', async (t) => {
  t.same(await shrunk(await picture(2000, 1000).jpeg().toBuffer()), ['jpeg', 200, 100])
  t.same(await shrunk(await picture(300, 900).jpeg().toBuffer(), 1024), ['jpeg', 300, 900])
  t.same(await shrunk(await picture(300, 900).png().toBuffer(), 16), ['jpeg', 5, 16])
  t.same(await shrunk(await picture(10, 10).webp().toBuffer()), ['jpeg', 10, 10])
  t.same(await shrunk(await picture(5000, 1).png().toBuffer(), 16), ['jpeg', 16, 1])
})

t.test('PNG where something is transparent, else JPEG', async (t) => {
  t.same(await shrunk(await picture(400, 200, 0.5).png().toBuffer()), ['png', 200, 100])
  t.same(await shrunk(await picture(400, 200, 1).png().toBuffer()), ['jpeg', 200, 100], 'an alpha channel that is full')
  t.same(await shrunk(await picture(400, 200, 0.5).webp().toBuffer()), ['png', 200, 100])
  t.same(await shrunk(await picture(400, 200, 0).gif().toBuffer()), ['png', 200, 100])
  t.same(await shrunk(await picture(400, 200, 0.5).grayscale().png().toBuffer()), ['png', 200, 100])
})

t.test('cameras, printers and animations', async (t) => {
  t.same(await shrunk(await picture(400, 200).withMetadata({ orientation: 6 }).jpeg().toBuffer()), ['jpeg', 100, 200])
  t.same(await shrunk(await picture(400, 200).toColourspace('cmyk').jpeg().toBuffer()), ['jpeg', 200, 100])
  t.same(await shrunk(await picture(400, 200).toColourspace('rgb16').png().toBuffer()), ['jpeg', 200, 100])
  t.same(await shrunk(await picture(400, 200).grayscale().png().toBuffer()), ['jpeg', 200, 100])
  t.same(await shrunk(await (await animation(400, 200)).gif().toBuffer()), ['jpeg', 200, 100], 'the first picture')
  t.same(await shrunk(await (await animation(400, 200)).webp().toBuffer()), ['jpeg', 200, 100])
})

t.test('what is broken, not of the four types, or too large to be true is refused', async (t) => {
  const jpeg = await picture(2000, 1000).jpeg().toBuffer()
  t.equal(await shrunk(jpeg.subarray(0, 3000)), 'not_an_image')
  t.equal(await shrunk(Buffer.from('GIF89a')), 'not_an_image')
  t.equal(await shrunk(Buffer.alloc(0)), 'not_an_image')
  t.equal(await shrunk(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')), 'not_an_image')
  t.equal(await shrunk(Buffer.from('P1\n1 1\n1\n')), 'not_an_image', 'a format that the library would know')
  const bomb = await picture(10, 10).png().toBuffer()
  bomb.writeUInt32BE(100_000, 16)
  bomb.writeUInt32BE(100_000, 20)
  t.equal(await shrunk(bomb), 'not_an_image')
})

t.test('two at once, the others wait their turn, and too many are refused', async (t) => {
  const image = await picture().png().toBuffer()
  const patient = createThumbnails()
  const doors = Array.from({ length: 66 }, () => Promise.withResolvers<void>())
  const entered = doors.map(() => Promise.withResolvers<void>())
  let begun = 0
  const begin = (index: number) =>
    patient(async () => {
      begun++
      entered[index]?.resolve()
      await doors[index]?.promise
      return image
    }, 16)
  const all = doors.map((_, index) => begin(index))
  await t.rejects(begin(66), { code: 'overloaded' })
  t.equal(begun, 2)
  doors[1]?.resolve()
  await Promise.all([all[1], entered[2]?.promise])
  t.equal(begun, 3)
  for (const door of doors) door.resolve()
  t.equal((await Promise.all(all)).length, 66)
  t.match(await begin(0), { mime: 'image/jpeg' }, 'there is room again')
})

t.test('the event loop goes on meanwhile', async (t) => {
  const large = await picture(12_000, 12_000).png().toBuffer()
  let turns = 0
  let isDone = false
  const turn = () => {
    turns++
    if (!isDone) setTimeout(turn, 1)
  }
  turn()
  t.same(await shrunk(large), ['jpeg', 200, 200])
  isDone = true
  t.ok(turns > 5, `${turns} turns`)
})
