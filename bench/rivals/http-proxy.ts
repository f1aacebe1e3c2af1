import proxy from '@fastify/http-proxy'
import fastify from 'fastify'

/** The proxy plugin as its README shows it; more than its 128 connections, which would queue the streams. */
const [upstream = '', port] = process.argv.slice(2)
const app = fastify({ logger: false })
await app.register(proxy, { upstream, undici: { connections: 4096 } })
await app.listen({ host: '127.0.0.1', port: Number(port) })
