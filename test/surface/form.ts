/** A field, or with a filename a file. */
export interface FormPart {
  name: string
  filename?: string
  type?: string
  content: string | Buffer
}

/** A multipart body with its header. */
export function formOf(parts: readonly FormPart[]): { body: Buffer; headers: Record<string, string> } {
  const pieces = parts.flatMap(({ name, filename, type, content }) => {
    const file = filename === undefined ? '' : `; filename="${filename}"\r\ncontent-type: ${type}`
    return [`--edge\r\ncontent-disposition: form-data; name="${name}"${file}\r\n\r\n`, content, '\r\n']
  })
  const body = Buffer.concat([...pieces, '--edge--\r\n'].map((piece) => Buffer.from(piece as string)))
  return { body, headers: { 'content-type': 'multipart/form-data; boundary=edge' } }
}
