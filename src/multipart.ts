import { Busboy } from '@fastify/busboy'
import { AppError, invalid } from './errors.ts'

const MAX_FIELDS = 50
const MAX_FIELD_BYTES = 1_048_576

/** A part of a form that is a file. */
export interface FormFile {
  field: string
  /** As the client sent it, without folders; anything else may be in it. */
  name: string
  /** What the part says it is. */
  mime: string
  bytes: Buffer
}

/** A whole form, in the order of its parts. */
export interface Form {
  fields: [name: string, value: string][]
  files: FormFile[]
}

/**
 * Reads a multipart body. Files are as large as the body allows: how large they may be is for their reader to say.
 * @throws bad_request, validation_error for too many or too long fields and for too many files
 */
export async function readForm(
  contentType: string | undefined,
  body: Buffer,
  { maxFiles }: { maxFiles: number }
): Promise<Form> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const form: Form = { fields: [], files: [] }
  const parser = createParser(contentType ?? '', maxFiles)
  parser.on('field', (name, value, isNameCut, isValueCut) => {
    if (isNameCut || isValueCut) reject(invalid(['body', name.slice(0, 64)], 'is too long'))
    else form.fields.push([name, value])
  })
  parser.on('file', (field, stream, name, _encoding, mime) => {
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    // A part that is cut off fails beside the parser; unheard, its error would end the process.
    stream.on('error', (cause) => reject(malformed(cause)))
    stream.on('end', () => form.files.push({ field, name: name ?? '', mime, bytes: Buffer.concat(chunks) }))
  })
  parser.on('filesLimit', () => reject(invalid(['body', 'files'], `may be at most ${maxFiles}`)))
  parser.on('fieldsLimit', () => reject(invalid(['body'], `may have at most ${MAX_FIELDS} fields`)))
  parser.on('error', (cause) => reject(malformed(cause)))
  parser.on('finish', resolve)
  parser.end(body)
  await promise
  return form
}

function createParser(contentType: string, maxFiles: number) {
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      limits: {
        files: maxFiles,
        fields: MAX_FIELDS,
        fieldSize: MAX_FIELD_BYTES,
        fieldNameSize: 100,
        parts: MAX_FIELDS + maxFiles
      }
    })
  } catch (cause) {
    throw malformed(cause)
  }
}

function malformed(cause: unknown): AppError {
  return new AppError('bad_request', { detail: 'The multipart body is malformed.' }, { cause })
}
