import { crc32 } from 'node:zlib'
import sharp from 'sharp'

const DOCX = 'application/vnd.openxmlformats-officedocument.wordprocessingml.document'

/** A picture of one colour. */
export function picture(width = 40, height = 20, alpha?: number) {
  const background = { r: 20, g: 120, b: 220, alpha: alpha ?? 1 }
  return sharp({ create: { width, height, channels: alpha === undefined ? 3 : 4, background } })
}

/** Two pictures, one after the other. */
export async function animation(width = 40, height = 20) {
  const frames = await Promise.all(
    [picture(width, height), picture(width, height).negate()].map((one) => one.png().toBuffer())
  )
  return sharp(frames, { join: { animated: true } })
}

/** An archive whose list of content types, if it has one, says that this is the main part. */
export function zip(names: string[], mainType = ''): Buffer {
  const content = Buffer.from(`<Types><Override ContentType="${mainType}.main+xml"/></Types>`)
  const local: Buffer[] = []
  const central: Buffer[] = []
  let offset = 0
  for (const name of names) {
    const fields = Buffer.alloc(26)
    fields.writeUInt16LE(20, 0)
    fields.writeUInt32LE(crc32(content), 10)
    fields.writeUInt32LE(content.length, 14)
    fields.writeUInt32LE(content.length, 18)
    fields.writeUInt16LE(name.length, 22)
    const entry = Buffer.concat([Buffer.from('PK\x03\x04'), fields, Buffer.from(name), content])
    const tail = Buffer.alloc(16)
    tail.writeUInt32LE(offset, 12)
    central.push(
      Buffer.concat([Buffer.from('PK\x01\x02\x14\x00', 'latin1'), fields, tail.subarray(2), Buffer.from(name)])
    )
    local.push(entry)
    offset += entry.length
  }
  const directory = Buffer.concat(central)
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 'latin1')
  end.writeUInt16LE(names.length, 8)
  end.writeUInt16LE(names.length, 10)
  end.writeUInt32LE(directory.length, 12)
  end.writeUInt32LE(offset, 16)
  return Buffer.concat([...local, directory, end])
}

/** A compound document of Microsoft with one stream of this name in its directory. */
export function compound(stream: string): Buffer {
  const bytes = Buffer.alloc(2048)
  Buffer.from('d0cf11e0a1b11ae1', 'hex').copy(bytes)
  const entry = 512 + 128
  bytes.write(stream, entry, 'utf16le')
  bytes.writeUInt16LE((stream.length + 1) * 2, entry + 64)
  bytes[entry + 66] = 2
  return bytes
}

/** A true file of each type that is taken, with the name a person would give it. */
export async function samples(): Promise<{ name: string; mime: string; bytes: Buffer }[]> {
  return [
    { name: 'photo.jpg', mime: 'image/jpeg', bytes: await picture().jpeg().toBuffer() },
    { name: 'chart.png', mime: 'image/png', bytes: await picture(40, 20, 0.5).png().toBuffer() },
    { name: 'dance.gif', mime: 'image/gif', bytes: await (await animation()).gif().toBuffer() },
    { name: 'photo.webp', mime: 'image/webp', bytes: await picture().webp().toBuffer() },
    { name: 'report.pdf', mime: 'application/pdf', bytes: Buffer.from('%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF\n') },
    { name: 'notes.txt', mime: 'text/plain', bytes: Buffer.from('Grüße\r\n\tund 🙂\n') },
    { name: 'table.csv', mime: 'text/csv', bytes: Buffer.from('BMI,weight\n22,70\n') },
    { name: 'old.doc', mime: 'application/msword', bytes: compound('WordDocument') },
    { name: 'new.docx', mime: DOCX, bytes: zip(['[Content_Types].xml', '_rels/.rels', 'word/document.xml'], DOCX) }
  ]
}

/** A form with one file, and fields. */
export function uploadForm(
  file: { name: string; mime: string; bytes: Buffer; field?: string } | undefined,
  fields: Record<string, string> = {}
) {
  const boundary = 'a-boundary-of-the-tests'
  const head = (disposition: string, type = '') =>
    `--${boundary}\r\nContent-Disposition: form-data; ${disposition}\r\n${type}\r\n`
  const parts: Buffer[] = Object.entries(fields).map(([name, value]) =>
    Buffer.from(`${head(`name="${name}"`)}${value}\r\n`)
  )
  if (file)
    parts.push(
      Buffer.from(head(`name="${file.field ?? 'file'}"; filename="${file.name}"`, `Content-Type: ${file.mime}\r\n`)),
      file.bytes,
      Buffer.from('\r\n')
    )
  return {
    body: Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]),
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` }
  }
}
