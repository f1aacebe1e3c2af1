import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { identityOf } from '../../../../src/auth/identity.ts'
import { AppError, invalid } from '../../../../src/errors.ts'
import { isUnchanged, rangeOf } from '../../../../src/files/conditions.ts'
import { contentDisposition, fittingName } from '../../../../src/files/names.ts'
import { fileTypeOf } from '../../../../src/files/types.ts'
import { FileBody, fileView } from '../../../../src/files/view.ts'
import { readForm } from '../../../../src/multipart.ts'
import { Id, Members, Message, PageQuery, PageReply, problems, responses, Type } from '../../../../src/schema.ts'
import type { FileRow } from '../../../../src/store/collections.ts'
import { decodeCursor, toPage } from '../../../../src/store/cursor.ts'

const reading = { access: 'user', scope: ['read', 'chat'] } as const
const writing = { access: 'user', scope: 'chat' } as const
const common = { tags: ['files'], security: [{ bearer: [] }] }
const FileParams = Type.Object({ file_id: Type.String() })
const DEFAULT_SIZE = 200

const Upload = Members({
  file: Type.String({ contentMediaType: 'application/octet-stream', description: 'the file' }),
  session_id: Type.Optional(Type.String({ maxLength: 128, description: 'a session of yours that it is for' }))
})
const Uploaded = Members({
  file_id: Id,
  name: Type.String(),
  mime: Type.String(),
  size: Type.Integer(),
  message: Message
})
const FileList = Members({ session_id: Id, files: Type.Array(FileBody), ...PageReply })
const bytes = (description: string) => ({
  description,
  content: { '*/*': { schema: Type.String({ contentMediaType: 'application/octet-stream' }) } }
})

/** The caller's own files; for anybody else there is nothing at their addresses. */
export default (async function files(app) {
  const { bodyBytes: bodyLimit } = app.config.limits

  app.addContentTypeParser(
    'multipart/form-data',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer) => {
      const form = await readForm(request.headers['content-type'], body, { maxFiles: 1 })
      const [part] = form.files
      if (!part || part.field !== 'file') throw invalid(['body', 'file'], 'is required: one part of this name, a file')
      request.fileParts = [{ name: part.name, claims: [part.mime], bytes: part.bytes }]
      return { ...Object.fromEntries(form.fields.filter(([name]) => name === 'session_id')), file: part.name }
    }
  )

  for (const [url, operationId] of [
    ['/files', 'files.upload'],
    ['/upload', 'files.uploadAlias']
  ] as const)
    app.post(
      url,
      {
        config: writing,
        bodyLimit,
        schema: {
          ...common,
          operationId,
          summary: 'Upload a file, to be named in predictions; unused ones are deleted after 24 hours',
          consumes: ['multipart/form-data'],
          body: Upload,
          response: { 201: Uploaded, ...problems(400, 401, 404, 413, 415, 422, 503) }
        }
      },
      async function uploadFile(request, reply) {
        const { userId } = identityOf(request)
        const sessionId = request.body.session_id === '' ? undefined : request.body.session_id
        if (sessionId !== undefined) await app.reachSession(request, sessionId)
        const { id, name, mime, sizeBytes } = await app.files.add({ userId, files: request.fileParts ?? [], sessionId })
        return reply.code(201).send({ file_id: id, name, mime, size: sizeBytes, message: 'The file is uploaded.' })
      }
    )

  app.get(
    '/files/:file_id',
    {
      config: reading,
      schema: {
        ...common,
        operationId: 'files.get',
        summary: 'The bytes of a file, or a range of them',
        params: FileParams,
        querystring: Members({ download: Type.Optional(Type.Boolean({ description: 'true: never shown in place' })) }),
        response: {
          200: bytes('the file'),
          206: bytes('the range'),
          304: { description: 'unchanged', type: 'null' },
          ...problems(401, 404, 416, 422, 503)
        }
      }
    },
    async function getFile(request, reply) {
      const row = await app.reachFile(request, request.params.file_id)
      const etag = `"${row.sha256}"`
      const { range, 'if-range': ifRange } = request.headers
      if (isUnchanged(request.headers['if-none-match'], etag)) return unchanged(reply, etag)
      const wanted = rangeOf({ range, ifRange: asText(ifRange) }, { sizeBytes: row.sizeBytes, etag })
      if (wanted === 'unsatisfiable') {
        reply.header('content-range', `bytes */${row.sizeBytes}`)
        throw new AppError('range_not_satisfiable')
      }
      const { stream, lengthBytes } = await app.files.read(row, wanted)
      if (wanted) reply.code(206).header('content-range', `bytes ${wanted.start}-${wanted.end - 1}/${row.sizeBytes}`)
      void reply
        .headers(privateHeaders(etag))
        .headers({ 'content-type': contentTypeOf(row), 'content-length': lengthBytes, 'accept-ranges': 'bytes' })
        .header('content-disposition', dispositionOf(row, request.query.download === true))
      return reply.send(request.method === 'HEAD' ? nothing(stream) : stream)
    }
  )

  app.get(
    '/files/:file_id/thumbnail',
    {
      config: reading,
      schema: {
        ...common,
        operationId: 'files.thumbnail',
        summary: 'An image, made smaller: PNG when it has transparency, else JPEG',
        params: FileParams,
        querystring: Members({
          size: Type.Optional(
            Type.Integer({ minimum: 16, maximum: 1024, default: DEFAULT_SIZE, description: 'longest edge, in pixels' })
          )
        }),
        response: {
          200: bytes('the thumbnail'),
          304: { description: 'unchanged', type: 'null' },
          ...problems(401, 404, 422, 503)
        }
      }
    },
    async function getThumbnail(request, reply) {
      const { size = DEFAULT_SIZE } = request.query
      const row = await app.reachFile(request, request.params.file_id)
      if (!fileTypeOf(row.mime)?.isImage) throw new AppError('not_an_image')
      const etag = `"${row.sha256}-${size}"`
      if (isUnchanged(request.headers['if-none-match'], etag)) return unchanged(reply, etag)
      const thumbnail = await app.makeThumbnail(() => app.files.bytes(row), size)
      return reply
        .headers(privateHeaders(etag))
        .header('content-type', thumbnail.mime)
        .header('content-disposition', contentDisposition('inline', fittingName(row.name, thumbnail.mime)))
        .send(thumbnail.bytes)
    }
  )

  app.get(
    '/files/session/:session_id',
    {
      config: reading,
      schema: {
        ...common,
        operationId: 'files.list',
        summary: 'The files of a conversation, oldest first',
        params: Type.Object({ session_id: Type.String() }),
        querystring: Members(PageQuery),
        response: responses(FileList, 401, 404, 422, 503)
      }
    },
    async function listFiles(request) {
      const { limit = 50, cursor } = request.query
      const { id, userId } = await app.reachSession(request, request.params.session_id)
      const page = { after: decodeCursor(cursor, 'number'), limit: limit + 1 }
      const { items, ...rest } = toPage(await app.files.ofSession(userId, id, page), limit, (row) => row.createdAt)
      return { session_id: id, files: items.map((row) => fileView(row, app.config.publicBaseUrl)), ...rest }
    }
  )

  app.delete(
    '/files/:file_id',
    {
      config: writing,
      schema: {
        ...common,
        operationId: 'files.delete',
        summary: 'Delete a file; messages no longer list it',
        params: FileParams,
        response: responses(Members({ message: Message, file_id: Id }), 401, 404, 503)
      }
    },
    async function deleteFile(request) {
      const { id: fileId, userId } = await app.reachFile(request, request.params.file_id)
      await app.files.remove(userId, fileId)
      return { message: 'The file is deleted.', file_id: fileId }
    }
  )
} satisfies FastifyPluginAsyncTypebox)

/** A browser may keep it for its user; on one that several people use, the token is part of what was asked for. */
function privateHeaders(etag: string) {
  return {
    etag,
    'cache-control': 'private, max-age=3600',
    vary: 'Authorization, X-API-Key, Origin',
    'content-security-policy': "default-src 'none'; sandbox"
  }
}

function unchanged(reply: FastifyReply, etag: string): FastifyReply {
  return reply.code(304).headers(privateHeaders(etag)).send()
}

function contentTypeOf({ mime }: FileRow): string {
  return fileTypeOf(mime)?.isText ? `${mime}; charset=utf-8` : mime
}

function dispositionOf({ name, mime }: FileRow, isDownload: boolean): string {
  const isInline = fileTypeOf(mime)?.isImage === true && !isDownload
  return contentDisposition(isInline ? 'inline' : 'attachment', fittingName(name, mime))
}

/** What a HEAD gets: nothing is fetched. */
function nothing(stream: Readable): Readable {
  stream.destroy()
  return Readable.from([])
}

function asText(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header
}
